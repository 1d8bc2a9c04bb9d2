"""From what is known of a device to its fitted and validated predictor, by one path."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.errors import ContradictionError, RepvitNasError
from repvit_nas.latency_lut.device import Device, device_names, load_device
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.own import OWN_FILE, own_observations, read_own
from repvit_nas.latency_lut.published import (
    PATH_FILE,
    PUBLISHED_FILE,
    read_observations,
    read_path,
)
from repvit_nas.latency_lut.table import TABLE_FILE, Table, read_table
from repvit_nas.predictors.assumptions import ASSUMPTIONS_FILE, Assumptions
from repvit_nas.predictors.engine import Engine
from repvit_nas.predictors.fit_like import learn_like
from repvit_nas.predictors.fit_measured import assumptions_for, learn
from repvit_nas.predictors.fit_published import learn_published
from repvit_nas.predictors.held_out import evaluate, learning_curve
from repvit_nas.predictors.lookup import ARRAYS_FILE
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.predictors.predictor_file import PREDICTOR_FILE, FittedOn, PredictorFile
from repvit_nas.predictors.probes import RowOrigin
from repvit_nas.predictors.timed_units import Learning
from repvit_nas.predictors.validation import VALIDATION_FILE, Validation, validation_bytes
from repvit_nas.version import __version__
from repvit_nas.words import Progress

PICTURE_FILE: Final = "validation.png"
# Fewer published rows than this do not determine the coefficients at all.
FEWEST_OBSERVATIONS: Final = 12
# Other devices that a learning curve starts from, if they are there: the modelled phone, and
# whatever else was measured.
_MODELLED_BASE: Final = "iphone12"


class KnownOfDevice(NamedTuple):
    """What is known of a device.

    Attributes:
        device: The device.
        published: What others published of it.
        brought: Latencies of whole networks that the user brought.
        table: What was timed of it; None where nothing was.
        digest: Digest of these figures.
        assumptions: What a fit takes for granted; None for a device that is like another.
        assumptions_digest: Digest of that, or of the predictor of the other device.
        bases: Predictors of other devices that this one could start from, or starts from.
        origin: Another device's fit that the one of a modelled device is compared with.
        unwritten: The content of a file of assumptions, where the device has none where its fit is
            written to: the folder that is written hides the shipped one. Empty where it has.
    """

    device: Device
    published: list[Observation]
    brought: list[Observation]
    table: Table | None
    digest: str
    assumptions: Assumptions | None
    assumptions_digest: str
    bases: dict[str, Predictor]
    origin: RowOrigin | None
    unwritten: bytes

    @property
    def whole(self) -> list[Observation]:
        """What others published, and what the user brought."""
        return [*self.published, *self.brought]

    def without_contradiction(self) -> "tuple[KnownOfDevice, int] | None":
        """Return what one fit can take where no model fits all, and how many latencies it leaves aside.

        What makes the device what it is stays: what was timed of a measured one, what was published
        of a modelled one. None where there is nothing beside that. What is taken for granted of an
        engine agrees with what was published, and goes with it.
        """
        if self.device.file.kind == "measured":
            if not self.published or self.table is None:
                return None
            fewer = self._replace(published=[], assumptions=assumptions_for(self.table))
            return fewer, len(self.published)
        return (self._replace(table=None), len(self.table.rows)) if self.table else None


class Fitted(NamedTuple):
    """A fitted predictor and how far off it is.

    Attributes:
        predictor: Ready to use.
        file: The same as it is written.
        validation: How far off it is; of which kind depends on the device's kind.
        arrays: What is kept of timed units beside the predictor's file; empty if none was timed.
        assumptions: A file of assumptions, where the device has none where it is written to; else empty.
    """

    predictor: Predictor
    file: PredictorFile
    validation: Validation
    arrays: bytes
    assumptions: bytes


def fit_device(device: Device, progress: Progress = lambda *_: None) -> Fitted:
    """Fit a device to what is known of it, and say how far off the fit is.

    A measured device is fitted to its table, and compared with the networks that were held out. A
    modelled one is fitted to what was published, with the little that was timed, and cross-validated;
    or it shifts and scales the predictor of the device that it is like. What was published of a
    measured device, or brought, takes part in its fit too. Where no model fits both what was published
    and what was timed, a measured device is fitted without the one, a modelled one without the other.

    Args:
        device: The device.
        progress: Told what is being done.

    Raises:
        FileError: A file of the device is not valid.
        ContradictionError: No model fits what is left then.
        RepvitNasError: There are too few latencies.
    """
    known = read_known(device)
    learning, validation = _learned_of_one(known, progress)
    fitted_on = FittedOn(
        observations=learning.observations,
        digest=known.digest,
        assumptions_digest=known.assumptions_digest,
        repvit_nas=__version__,
    )
    return Fitted(
        predictor=learning.predictor,
        file=learning.predictor.file(fitted_on),
        validation=validation,
        arrays=learning.arrays,
        assumptions=known.unwritten,
    )


def read_known(device: Device) -> KnownOfDevice:
    """Read what is known of a device.

    Raises:
        FileError: A file is not valid.
        RepvitNasError: There is nothing to say how it may be modelled.
    """
    published, brought = _whole_networks(device)
    timed = device.path(TABLE_FILE)
    measured = device.file.kind == "measured"
    table = read_table(timed, device.name) if measured or timed.is_file() else None
    digest = device.digest()
    assumptions, origin, unwritten = None, None, b""
    if device.file.like:
        base, found = load_predictor(device.file.like, foreign=True)
        bases, stated = {device.file.like: base}, files.read_bytes(found.path / PREDICTOR_FILE)
    else:
        path = find_assumptions(device)
        assumptions = _taken_for_granted(device, path, table)
        bases = _bases(device) if measured else {}
        origin = None if measured else _origin(assumptions)
        # Of a person's file, or of the record where a table may have given it.
        by_hand = None if measured else path
        stated = files.read_bytes(by_hand) if by_hand else msgspec.json.encode(assumptions)
        folder = data.listed("predictors").get(device.name)
        if path is None or (folder is not None and folder.shipped):
            # As it is: its digest stands in the predictor.
            unwritten = files.read_bytes(path) if path else files.encode_json(assumptions)
    return KnownOfDevice(
        device=device,
        published=published,
        brought=brought,
        table=table,
        digest=digest,
        assumptions=assumptions,
        assumptions_digest=files.digest(stated),
        bases=bases,
        origin=origin,
        unwritten=unwritten,
    )


def _taken_for_granted(device: Device, path: Path | None, table: Table | None) -> Assumptions:
    """Return what a fit takes for granted: what a file states, or what a measured device's table says."""
    if path is not None:
        return files.read_json(path, Assumptions)
    if device.file.kind == "measured" and table is not None:
        return assumptions_for(table)
    raise RepvitNasError(
        f"device {device.name!r} has no predictors/{device.name}/{ASSUMPTIONS_FILE}: copy that "
        "of iphone12 and state the device's limits there"
    )


def _whole_networks(device: Device) -> tuple[list[Observation], list[Observation]]:
    """Return what others published of a device, and what the user brought."""
    path, own = device.path(PUBLISHED_FILE), device.path(OWN_FILE)
    needed = device.file.kind == "modelled" and not device.file.like and not own.is_file()
    published = read_observations(path) if path.is_file() or needed else []
    return published, own_observations(read_own(own), published)


def _learned_of_one(known: KnownOfDevice, progress: Progress) -> tuple[Learning, Validation]:
    """Fit what is known, or as much of it as can be of one device."""
    try:
        return _learned(known, progress)
    except ContradictionError:
        rest = known.without_contradiction()
        if rest is None:
            raise
    fewer, aside = rest
    learning, validation = _learned(fewer, progress)
    return learning, msgspec.structs.replace(validation, left_aside=aside)


def _learned(known: KnownOfDevice, progress: Progress) -> tuple[Learning, Validation]:
    """Fit what is known: to the table where it makes a measured device, to published rows else."""
    device, table = known.device, known.table
    if known.assumptions is None:
        base = known.bases[device.file.like]
        return learn_like(device.name, known.whole, table, base, progress)
    if device.file.kind == "modelled" or table is None:
        if len(known.whole) < FEWEST_OBSERVATIONS:
            raise RepvitNasError(
                f"{device.path(PUBLISHED_FILE)}: {len(known.whole)} rows are too few to fit a "
                f"device; at least {FEWEST_OBSERVATIONS} are needed"
            )
        steps = device.path(PATH_FILE)
        return learn_published(
            device.name,
            known.whole,
            table,
            known.assumptions,
            progress,
            path=read_path(steps) if steps.is_file() else (),
            origin=known.origin,
        )
    learning = learn(table, known.assumptions, published=known.whole)
    networks = table.networks("held_out")
    if len(networks) < 2:
        raise RepvitNasError(
            f"{device.path(TABLE_FILE)}: {len(networks)} held-out networks are too few to say how far "
            "off a fit is; measure with --networks 2 or more"
        )
    curve = learning_curve(table, known.assumptions, known.bases, progress, known.whole)
    comparison = evaluate(
        device.file.title,
        table,
        learning.predictor,
        networks,
        curve=curve,
        left_out=learning.left_out,
    )
    return learning, comparison


def _origin(assumptions: Assumptions) -> RowOrigin | None:
    """Return the fit of the device that another one's latencies are compared with, if it is there."""
    if not isinstance(assumptions.engine, Engine):
        return None
    name = assumptions.engine.transferred_from
    # Another device's broken files are no reason not to fit this one.
    with contextlib.suppress(RepvitNasError):
        predictor, folder = load_predictor(name)
        engine = files.read_json(folder.path / ASSUMPTIONS_FILE, Assumptions).engine
        if isinstance(engine, Engine):
            return RowOrigin(name, predictor.members, predictor.model.columns, engine)
    return None


def _bases(device: Device) -> dict[str, Predictor]:
    """Return the predictors of other devices that are there to start from."""
    fitted = data.listed("predictors")
    found = {}
    for name in device_names():
        if name == device.name or name not in fitted:
            continue
        wanted = name == _MODELLED_BASE or load_device(name).file.kind == "measured"
        if wanted and (fitted[name].path / PREDICTOR_FILE).is_file():
            # Another device's broken files are no reason not to fit this one.
            with contextlib.suppress(RepvitNasError):
                found[name], _ = load_predictor(name, foreign=True)
    return found


def find_assumptions(device: Device) -> Path | None:
    """Return the path of the assumptions that a device is fitted under, if there are any."""
    found = data.listed("predictors").get(device.name)
    if found is None:
        return None
    runtime = device.file.runtime
    # A Core ML device's name stands for one model wherever it is measured; a processor's does not.
    own = runtime is None or runtime.is_core_ml or found.shipped == device.folder.shipped
    if device.file.kind == "measured" and not own:
        return None
    path = found.path / ASSUMPTIONS_FILE
    return path if path.is_file() else None


def write_fitted(
    folder: Path, fitted: Fitted, *, picture: bytes, beside: Mapping[Path, bytes] | None = None
) -> None:
    """Write a fitted predictor, its validation and the picture of that into `folder`.

    Args:
        folder: The folder.
        fitted: The predictor.
        picture: Of its validation, as PNG.
        beside: The content of files elsewhere by their path, which are written with it or not at all.

    Raises:
        FileError: A file cannot be written. What was there before stays.
    """
    contents = {VALIDATION_FILE: validation_bytes(fitted.validation), PICTURE_FILE: picture}
    if fitted.assumptions:
        contents[ASSUMPTIONS_FILE] = fitted.assumptions
    if fitted.arrays:
        contents[ARRAYS_FILE] = fitted.arrays
    # A line for each member, and for each timed unit; last, since it is what tells that all is there.
    contents[PREDICTOR_FILE] = files.encode_lines(fitted.file, "members")
    files.write_together(
        {**(beside or {}), **{folder / name: content for name, content in contents.items()}}
    )
