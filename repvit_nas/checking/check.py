"""`check`: what was promised of a trained network against what is found, and the family beside it."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from repvit_nas import files
from repvit_nas.checking.beside import beside
from repvit_nas.checking.embedding import matched_on
from repvit_nas.checking.masks import mask_agreement
from repvit_nas.checking.promises import promises_of
from repvit_nas.checking.records import CHECK_FILE, CheckRecord
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.forms import export_trained
from repvit_nas.export.images import ComparedOn, run_images
from repvit_nas.export.records import ExportRecord, read_export
from repvit_nas.export.subject import Subject, trained_subject
from repvit_nas.folders import held, refuse_links
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import PublishedLatency, published_of
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.timing import Access, measured_device, network_limits, time_on
from repvit_nas.training.trained import TrainedRun, trained_run
from repvit_nas.units import Network
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
    """

    run: TrainedRun
    predictor: Predictor
    published: tuple[PublishedLatency, ...]


def read_to_check(folder: Path, where: Where) -> ToCheck:
    """Read a finished training run, and what is known of the device that it is checked on.

    Raises:
        RepvitNasError: The run is not finished, or the device is not known.
        FileError: Their files are not valid.
    """
    refuse_links(folder, _OTHERWISE)
    run = trained_run(folder)
    predictor, _ = load_predictor(where.device, foreign=where.foreign)
    return ToCheck(run, predictor, published_of(load_device(where.device)))


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
        RepvitNasError: The space is not known, or `data` does not hold the run's classes.
    """
    folder = given.run.folder
    keeping = held(folder, otherwise=_OTHERWISE) if keep else contextlib.nullcontext()
    with keeping:
        found = _checked(given, where, keep=keep, data=data, say=say, progress=progress)
        if keep:
            files.write_json(folder / CHECK_FILE, found)
    return found


def _checked(
    given: ToCheck, where: Where, *, keep: bool, data: str, say: Say, progress: Progress
) -> CheckRecord:
    run, predictor, published = given
    progress("reading the images", 0, 1)
    images = run_images(run.record, data)
    if images.missing:
        say(f"without the images to validate on, accuracy is not checked: {images.missing}")
    subject = trained_subject(run, verify=False)  # whether it is as written is a promise
    matched, masks = matched_on(run.record, data), None
    if where.decoder:
        masks = mask_agreement(subject.model, run.record, matched, where.decoder)
    with _exported(run, subject, images, keep=keep) as (exported, place):
        promises = promises_of(
            run,
            subject.model,
            exported,
            place,
            images=images,
            matched=matched,
            space=where.space,
            progress=progress,
        )
    bits = _fewer_bits(where.device, exported)
    variant, family = beside(run, predictor, published, bits)
    timed = _measured(where, run.asked.architecture, say, progress)
    return CheckRecord(
        run=str(run.folder),
        device=where.device,
        val_images=0 if images.missing else len(images.images),
        promises=promises,
        variant=variant,
        family=family,
        measured_ms=timed.ms,
        not_measured=timed.why_not,
        off_engine=timed.off_engine,
        export=exported,
        masks=masks,
    )


@contextlib.contextmanager
def _exported(
    run: TrainedRun, subject: Subject, images: ComparedOn, *, keep: bool
) -> Iterator[tuple[ExportRecord, Path]]:
    """Give what was exported of the run, and where; where nothing was, it is made."""
    found = read_export(run.folder)
    if found is not None:
        yield found, run.folder
    elif keep:
        yield export_trained(subject, run.folder, images, is_held=True), run.folder
    else:
        with tempfile.TemporaryDirectory(prefix="repvit-nas-") as scratch:
            yield export_trained(subject, Path(scratch), images), Path(scratch)


def _fewer_bits(device: str, exported: ExportRecord) -> list[int]:
    """Return the bits below 16 that a run was exported with, where the device is one of Core ML."""
    found = sorted(
        (form.fewer_bits.bits for form in exported.forms if form.fewer_bits), reverse=True
    )
    return list(found) if found and load_device(device).runs_core_ml else []


class _Measured(NamedTuple):
    ms: float | None
    off_engine: bool = False
    why_not: str = ""


def _measured(where: Where, architecture: Network, say: Say, progress: Progress) -> _Measured:
    """Time the network on the device; where that cannot be done here, say why."""
    try:
        device = measured_device(where.device)
        timed = time_on(
            device,
            [architecture],
            network_limits(device),
            progress,
            access=where.access,
            say=say,
        )
    except RepvitNasError as error:
        return _Measured(None, why_not=str(error))
    (row,) = timed.table.networks("held_out")
    return _Measured(row.latency_ms, timed.ran_off(architecture))
