"""A trained network validated again, from its file, on what its run was validated on."""

from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import nn

from repvit_nas.architecture import SAM_STEP
from repvit_nas.checking.maps import MatchedOn, Validated, compared_maps
from repvit_nas.checking.records import Promise
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.images import ComparedOn, run_images
from repvit_nas.training.data import moved
from repvit_nas.training.embeddings import unkept
from repvit_nas.training.loading import World, val_batches
from repvit_nas.training.pictures import open_pictures, validation_batches
from repvit_nas.training.records import TrainFile, TrainOutcome
from repvit_nas.training.teacher import load_map_teacher
from repvit_nas.training.trained import TrainedRun
from repvit_nas.words import Progress

# Other processors round in another order; a few images at the edge of two classes may turn over.
TURNED_OVER: Final = 0.001
# Of bf16 beside fp32, 1 to 2 % of the predictions changed in trials, in both directions.
TURNED_OVER_HALF: Final = 0.01
_DEVICE: Final = torch.device("cpu")


class ValidatedOn(NamedTuple):
    """What a run was validated on, here again.

    Attributes:
        images: Its images, on which forms are compared too; drawn ones tell nothing of accuracy.
        maps: What it learned a map on, or why that is not here.
    """

    images: ComparedOn
    maps: MatchedOn | str


def validated_on(record: TrainFile, data: str = "") -> ValidatedOn:
    """Open what a run was validated on.

    Args:
        record: The run.
        data: Where its images are now; empty for where they were.

    Raises:
        RepvitNasError: `data` is given, and does not hold images of the run's classes.
    """
    images = run_images(record, data)
    asked, matching = record.asked, record.asked.matching
    if matching is None:
        return ValidatedOn(images, "the run learned no teacher's map")
    spec = moved(asked.data, data) if data else asked.data
    try:
        pictures = open_pictures(spec, asked.architecture.resolution).val
        teacher = load_map_teacher(matching.teacher, _DEVICE)
    except RepvitNasError as error:
        return ValidatedOn(images, str(error).partition(";")[0])
    if matching.digest and teacher.digest != matching.digest:
        return ValidatedOn(images, f"{matching.teacher} is another teacher than it was")
    batches = validation_batches(
        pictures, asked.recipe.batch, world=World(), device=_DEVICE, workers=0
    )
    return ValidatedOn(images, MatchedOn(batches, len(pictures), unkept(teacher.maps)))


def validate_again(
    model: nn.Module,
    run: TrainedRun,
    on: ValidatedOn,
    *,
    decoder: Path | None = None,
    progress: Progress = lambda _, __, ___: None,
) -> Validated:
    """Validate a run's network again.

    Args:
        model: The network, as its files hold it.
        run: The run.
        on: What it was validated on.
        decoder: A checkpoint of SAM, whose decoder makes masks of the network's maps and its teacher's.
        progress: Told how far it is.

    Raises:
        RepvitNasError: A decoder is given, and the run matched no map of SAM's, teacher or pictures are
            not here, or `segment-anything` is not installed.
        FileError: The checkpoint cannot be read, or holds no decoder of SAM.
    """
    if decoder and (run.asked.matching is None or run.asked.architecture.output not in SAM_STEP):
        raise RepvitNasError(
            "--decoder makes masks of an encoder of SAM's: give a run of train --task match whose output "
            "is sam, or leave --decoder out"
        )
    if isinstance(run.outcome, TrainOutcome):
        return Validated(_accuracy(model, run, run.outcome, on.images, progress))
    return compared_maps(model, run.asked, run.outcome, on.maps, decoder)


def _accuracy(
    model: nn.Module,
    run: TrainedRun,
    outcome: TrainOutcome,
    chosen: ComparedOn,
    progress: Progress,
) -> Promise:
    """Compare a classifier's accuracy with what its run says, where the images are here."""
    asked = run.asked
    promised = f"top-1 {outcome.top1:.2f} %"
    if chosen.missing:
        return Promise(
            name="accuracy",
            kept=None,
            promised=promised,
            found=f"not checked: {chosen.missing}; give --data PATH",
        )
    # Half precision turns over many more images than another order of adding up.
    turned = TURNED_OVER if asked.precision == "fp32" else TURNED_OVER_HALF
    loader = val_batches(
        chosen.images,
        asked.recipe,
        asked.architecture.resolution,
        world=World(),
        device=_DEVICE,
        workers=0,
    )
    right = count = 0
    with torch.inference_mode():
        for number, (taken, target) in enumerate(loader):
            right += int((model(taken).argmax(1) == target).sum())
            count += len(target)
            progress("validating", number + 1, len(loader))
    top1 = 100 * right / max(count, 1)
    slack = 100 * max(1 / max(count, 1), turned)
    return Promise(
        name="accuracy",
        kept=abs(top1 - outcome.top1) <= slack + 1e-9,
        promised=promised,
        found=f"top-1 {top1:.2f} % of {count:,} images",
    )
