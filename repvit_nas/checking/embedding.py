"""Whether a network that learned a teacher's map is as near to it as its run says."""

from typing import Final, NamedTuple

import torch
from torch import nn

from repvit_nas.checking.records import Promise
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import Opened
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


class MatchedOn(NamedTuple):
    """What a network learned a map on, here again.

    Attributes:
        pictures: Its pictures.
        target_of: Gives the teacher's maps.
    """

    pictures: Opened
    target_of: TargetOf


def matched_on(record: TrainFile) -> MatchedOn | str:
    """Return pictures and teacher of a run that learned a map; why not, where they are not here."""
    matching = record.asked.matching
    if matching is None:
        raise RepvitNasError("the run learned no teacher's map")
    try:
        pictures = open_asked(record.asked)
        teacher = load_map_teacher(matching.teacher, torch.device("cpu"))
    except RepvitNasError as error:
        return str(error).partition(";")[0]
    if matching.digest and teacher.digest != matching.digest:
        return f"{matching.teacher} is another teacher than it was"
    return MatchedOn(pictures, unkept(teacher.maps))


def embedding(model: nn.Module, record: TrainFile) -> Promise:
    """Compare the network's map with its teacher's again, where both teacher and pictures are here."""
    asked, near = record.asked, record.matched
    matching = asked.matching
    if matching is None or near is None:
        raise RepvitNasError("the training is not finished")
    promised = f"squared error {near.mse:.4g}, cosine {near.cosine:.4f}"
    device = torch.device("cpu")
    on = matched_on(record)
    if isinstance(on, str):
        return Promise(name="embedding", kept=None, promised=promised, found=f"not checked: {on}")
    pictures = on.pictures
    batches = validation_batches(
        pictures.val, asked.recipe.batch, world=World(), device=device, workers=0
    )
    task = MatchTask(model, on.target_of, matching.cosine, device)
    scores = evaluate_maps(model, batches, task, How(device)).scores
    return Promise(
        name="embedding",
        kept=abs(scores.mse - near.mse) <= _SLACK * near.mse
        and len(pictures.val) == near.val_images,
        promised=promised,
        found=f"squared error {scores.mse:.4g}, cosine {scores.cosine:.4f} on {len(pictures.val):,} pictures",
    )
