"""Whether a network that learned a teacher's map is as near to it as its run says."""

from typing import Any, Final, NamedTuple

import msgspec
import torch
from torch import nn

from repvit_nas.checking.records import Promise
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import moved
from repvit_nas.training.embeddings import TargetOf, unkept
from repvit_nas.training.evaluation import How
from repvit_nas.training.loading import World
from repvit_nas.training.matching import MatchTask, evaluate_maps
from repvit_nas.training.pictures import validation_batches
from repvit_nas.training.records import TrainFile
from repvit_nas.training.run import open_asked
from repvit_nas.training.teacher import load_map_teacher

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


def matched_on(record: TrainFile, data: str = "") -> MatchedOn | str:
    """Return pictures and teacher of a run that learned a map; why not, where they are not here.

    Args:
        record: The run.
        data: Where its pictures are now; empty for where they were.
    """
    asked, matching = record.asked, record.asked.matching
    if matching is None:
        return "the run learned no teacher's map"
    if data:
        asked = msgspec.structs.replace(asked, data=moved(asked.data, data))
    try:
        pictures = open_asked(asked).val
        teacher = load_map_teacher(matching.teacher, _DEVICE)
    except RepvitNasError as error:
        return str(error).partition(";")[0]
    if matching.digest and teacher.digest != matching.digest:
        return f"{matching.teacher} is another teacher than it was"
    batches = validation_batches(
        pictures, asked.recipe.batch, world=World(), device=_DEVICE, workers=0
    )
    return MatchedOn(batches, len(pictures), unkept(teacher.maps))


def embedding(model: nn.Module, record: TrainFile, on: MatchedOn | str) -> Promise:
    """Compare the network's map with its teacher's again, where both teacher and pictures are here."""
    matching, near = record.asked.matching, record.matched
    if matching is None or near is None:
        raise RepvitNasError("the training is not finished")
    promised = f"squared error {near.mse:.4g}, cosine {near.cosine:.4f}"
    if isinstance(on, str):
        return Promise(name="embedding", kept=None, promised=promised, found=f"not checked: {on}")
    task = MatchTask(model, on.target_of, matching.cosine, _DEVICE)
    scores = evaluate_maps(model, on.batches, task, How(_DEVICE)).scores
    return Promise(
        name="embedding",
        kept=abs(scores.mse - near.mse) <= _SLACK * near.mse and on.pictures == near.val_images,
        promised=promised,
        found=f"squared error {scores.mse:.4g}, cosine {scores.cosine:.4f} on {on.pictures:,} pictures",
    )
