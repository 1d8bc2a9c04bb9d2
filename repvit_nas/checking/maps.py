"""Whether maps are as near to a teacher's as their run says, and how alike the masks of both are."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from repvit_nas.checking.masks import mask_agreement, mask_overlaps
from repvit_nas.checking.records import MaskAgreement, Promise
from repvit_nas.decoder import read_decoder
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.embeddings import TargetOf
from repvit_nas.training.evaluation import How
from repvit_nas.training.matching import MatchTask, map_errors, map_scores
from repvit_nas.training.records import Asked, MatchOutcome

# Kept maps are in half precision, and half-precision training rounds the network's.
_SLACK: Final = 0.01
_DEVICE: Final = torch.device("cpu")


class MatchedOn(NamedTuple):
    """What a network learned a map on, here again.

    Attributes:
        batches: The pictures to validate on, each with its place.
        pictures: How many they are.
        target_of: Gives the teacher's maps.
    """

    batches: Any
    pictures: int
    target_of: TargetOf


class Validated(NamedTuple):
    """What came of validating again.

    Attributes:
        promise: Whether the network is as good as its run says.
        masks: How alike masks of its maps are to those of its teacher's, where a decoder was given.
    """

    promise: Promise
    masks: MaskAgreement | None = None


@torch.inference_mode()
def compared_maps(
    model: nn.Module,
    asked: Asked,
    outcome: MatchOutcome,
    on: MatchedOn | str,
    checkpoint: Path | None = None,
) -> Validated:
    """Compare a network's maps with its teacher's, and masks of both; each map is computed once.

    Args:
        model: The network.
        asked: What its run was asked.
        outcome: How near it came.
        on: What it learned the map on, or why that is not here.
        checkpoint: Of SAM, whose decoder makes the masks; None for none.

    Raises:
        RepvitNasError: Masks are asked for, and pictures or teacher are not here, or
            `segment-anything` is not installed.
        FileError: The checkpoint cannot be read, or holds no decoder of SAM.
    """
    matching = asked.matching
    side = asked.architecture.resolution
    decoder = read_decoder(checkpoint, side) if checkpoint else None
    promised = f"squared error {outcome.mse:.4g}, cosine {outcome.cosine:.4f}"
    if isinstance(on, str) or matching is None:
        if decoder:
            raise RepvitNasError(f"--decoder: {on}")
        found = f"not checked: {on}"
        return Validated(Promise(name="embedding", kept=None, promised=promised, found=found))
    task = MatchTask(model, on.target_of, matching.cosine, _DEVICE)
    errors, shares = [], []
    for images, places in on.batches:
        pair = task.maps(model, images, places)
        errors.append(map_errors(*pair, places, side))
        if decoder:
            shares += mask_overlaps(decoder, pair, places, side)
    scores = map_scores(errors, task, How(_DEVICE))
    promise = Promise(
        name="embedding",
        kept=abs(scores.mse - outcome.mse) <= _SLACK * outcome.mse
        and on.pictures == outcome.val_images,
        promised=promised,
        found=f"squared error {scores.mse:.4g}, cosine {scores.cosine:.4f} on {on.pictures:,} pictures",
    )
    return Validated(promise, mask_agreement(checkpoint.name, shares) if checkpoint else None)
