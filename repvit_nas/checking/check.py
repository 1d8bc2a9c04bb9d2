"""`check`: what was promised of a trained network against what is found, and the family beside it."""

import contextlib
from pathlib import Path
from typing import Final, NamedTuple

from repvit_nas import files
from repvit_nas.checking.beside import beside
from repvit_nas.checking.family import members
from repvit_nas.checking.promises import PromisedSpace, promised_space, promises_of
from repvit_nas.checking.records import CHECK_FILE, CheckRecord
from repvit_nas.checking.validation import validate_again, validated_on
from repvit_nas.export.standing import standing_forms
from repvit_nas.export.subject import trained_subject
from repvit_nas.folders import held, refuse_links
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import PublishedLatency, published_of
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.timing import Access, latency_here
from repvit_nas.training.trained import TrainedRun, trained_run
from repvit_nas.words import Progress, Say

_OTHERWISE: Final = "check the run it belongs to"


class Where(NamedTuple):
    """On what a network is checked.

    Attributes:
        device: Whose latencies are predicted.
        space: The search space that the network must lie in; None for the one it was searched in,
            or the usual one where no run kept that.
        foreign: Accept a processor's table that was measured on another machine.
        access: How the device is reached, if it is a phone.
        decoder: A checkpoint of SAM, whose decoder makes masks of the network's maps and its teacher's.
    """

    device: str = "iphone12"
    space: str | None = None
    foreign: bool = False
    access: Access = Access()
    decoder: Path | None = None


class ToCheck(NamedTuple):
    """What a check starts from, read once.

    Attributes:
        run: The run.
        predictor: What networks cost on the device.
        published: What was published of the device.
        core_ml: Whether the device runs Core ML.
        space: The search space that the network must lie in.
    """

    run: TrainedRun
    predictor: Predictor
    published: tuple[PublishedLatency, ...]
    core_ml: bool
    space: PromisedSpace


def read_to_check(folder: Path, where: Where) -> ToCheck:
    """Read a finished training run, and what is known of the device that it is checked on.

    Raises:
        RepvitNasError: The run is not finished, or device or space are not known.
        FileError: Their files are not valid.
    """
    refuse_links(folder, _OTHERWISE)
    run = trained_run(folder)
    predictor, _ = load_predictor(where.device, foreign=where.foreign)
    device = load_device(where.device)
    space = promised_space(run.record, where.space)
    return ToCheck(run, predictor, published_of(device), device.runs_core_ml, space)


def check_run(
    folder: Path,
    where: Where | None = None,
    *,
    keep: bool = True,
    data: str = "",
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> CheckRecord:
    """Check a finished training run; see :func:`check`."""
    where = where or Where()
    given = read_to_check(folder, where)
    return check(given, where, keep=keep, data=data, say=say, progress=progress)


def check(
    given: ToCheck,
    where: Where,
    *,
    keep: bool = True,
    data: str = "",
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> CheckRecord:
    """Check a finished training run, and write what was found into its folder.

    Where nothing can be kept there, the fused form is made elsewhere, and is gone in the end.

    Args:
        given: The run, and what is known of the device.
        where: On what it is checked.
        keep: Write into the run's folder.
        data: Where the images are now; empty for where the run had them. What needs them and they are
            not there is said not to be checked.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: `data` does not hold the run's classes.
    """
    run, predictor, published, core_ml, space = given
    with held(run.folder, otherwise=_OTHERWISE) if keep else contextlib.nullcontext():
        progress("reading the images", 0, 1)
        on = validated_on(run.record, data)
        if on.images.missing:
            why = on.images.missing
            say(f"without the images to validate on, accuracy is not checked: {why}")
        subject = trained_subject(run, verify=False)  # whether it is as written is a promise
        validated = validate_again(subject.model, run, on, decoder=where.decoder, progress=progress)
        forms = standing_forms(subject, run.folder, on.images, keep=keep)
        bits = forms.record.bits if core_ml else ()
        variant, family = beside(run, members(run), predictor, published, bits)
        promises = promises_of(run, subject.model, variant, forms, validated.promise, space=space)
        timed = latency_here(
            where.device, run.asked.architecture, access=where.access, say=say, progress=progress
        )
        found = CheckRecord(
            run=str(run.folder),
            device=where.device,
            val_images=0 if on.images.missing else len(on.images.images),
            promises=promises,
            variant=variant,
            family=family,
            measured_ms=timed.ms,
            not_measured=timed.why_not,
            off_engine=timed.off_engine,
            export=forms.record,
            masks=validated.masks,
        )
        if keep:
            files.write_json(run.folder / CHECK_FILE, found)
    return found
