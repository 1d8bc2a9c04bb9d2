"""Masks of a network's maps against those of its teacher's, by a decoder of SAM."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from repvit_nas.architecture import SAM_STEP
from repvit_nas.checking.embedding import MatchedOn
from repvit_nas.checking.records import MaskAgreement
from repvit_nas.decoder import SamDecoder, read_decoder
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.embeddings import TargetOf
from repvit_nas.training.pictures import HEIGHT, WIDTH, inside
from repvit_nas.training.records import TrainFile

# Points of a grid along each side of a picture.
GRID = 4
_FOREGROUND = 1


def mask_agreement(
    model: nn.Module, record: TrainFile, found: MatchedOn | str, checkpoint: Path
) -> MaskAgreement:
    """Compare the masks that a decoder makes of a network's maps with those of its teacher's.

    A decoder is asked for one mask at each point of a grid over each picture to validate on.

    Args:
        model: The network, which matched SAM's map.
        record: Its run.
        found: What it learned the map on, or why that is not here.
        checkpoint: Of SAM; its prompt encoder and mask decoder are taken.

    Raises:
        RepvitNasError: The run matched no map of SAM's, teacher or pictures are not here, or
            `segment-anything` is not installed.
        FileError: The checkpoint cannot be read, or holds no decoder of SAM.
    """
    architecture = record.asked.architecture
    if record.asked.matching is None or architecture.output not in SAM_STEP:
        raise RepvitNasError(
            "--decoder makes masks of an encoder of SAM's: give a run of train --task match whose output "
            "is sam, or leave --decoder out"
        )
    decoder = read_decoder(checkpoint, architecture.resolution)
    if isinstance(found, str):
        raise RepvitNasError(f"--decoder: {found}")
    shares = [
        share
        for images, places in found.batches
        for share in _batch(model, found.target_of, decoder, images, places)
    ]
    compared = [share for share in shares if share is not None]
    return MaskAgreement(
        decoder=checkpoint.name,
        points=GRID * GRID,
        pictures=len(shares) // (GRID * GRID),
        masks=len(compared),
        iou=sum(compared) / max(1, len(compared)),
    )


@torch.inference_mode()
def _batch(
    model: nn.Module,
    target_of: TargetOf,
    decoder: SamDecoder,
    images: torch.Tensor,
    places: torch.Tensor,
) -> Iterable[float | None]:
    """Return the overlap of each pair of masks; None where both are empty."""
    side = images.shape[-1]
    images = images * inside(places, side, side)
    shares: list[float | None] = []
    for own, theirs, place in zip(model(images), target_of(images, places), places, strict=True):
        coordinates = _grid(place)
        one, two = (masks_of(decoder, each.float(), coordinates) for each in (own, theirs))
        counts = inside(place[None], one.shape[-1], side)[0].bool()
        shares += overlaps(one & counts, two & counts)
    return shares


def _grid(place: torch.Tensor) -> torch.Tensor:
    """Return the points of a picture, across and down in pixels of the square, `(points, 2)`."""
    steps = (torch.arange(GRID) + 0.5) / GRID
    down, across = torch.meshgrid(
        steps * float(place[HEIGHT]), steps * float(place[WIDTH]), indexing="ij"
    )
    return torch.stack([across, down], dim=-1).view(-1, 2)


def masks_of(decoder: SamDecoder, embedding: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the mask of each point.

    Args:
        decoder: SAM's.
        embedding: A map, `(channels, height, height)`.
        points: Across and down in pixels of the square, `(points, 2)`.

    Returns:
        `(points, 4 * height, 4 * height)`, whether an element is in the mask.
    """
    labels = torch.full((len(points), 1), _FOREGROUND)
    sparse, dense = decoder.prompts(points=(points[:, None], labels), boxes=None, masks=None)
    logits, _ = decoder.masks(
        image_embeddings=embedding[None],
        image_pe=decoder.prompts.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    found: torch.Tensor = logits[:, 0] > 0
    return found


def overlaps(one: torch.Tensor, two: torch.Tensor) -> list[float | None]:
    """Return intersection over union of pairs of masks, `(masks, height, width)`; None where both are empty."""
    common = (one & two).flatten(1).sum(1).tolist()
    either = (one | two).flatten(1).sum(1).tolist()
    return [inner / outer if outer else None for inner, outer in zip(common, either, strict=True)]
