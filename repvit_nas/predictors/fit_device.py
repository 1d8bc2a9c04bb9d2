"""From a device's folder to its fitted and validated predictor: what the command `fit` does."""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import Device, device_names, load_device
from repvit_nas.latency_lut.published import PUBLISHED_FILE, read_observations
from repvit_nas.latency_lut.table import TABLE_FILE, Table, read_table
from repvit_nas.predictors.assumptions import ASSUMPTIONS_FILE, Assumptions
from repvit_nas.predictors.cross_validation import (
    VALIDATION_FILE,
    Validation,
    ensemble_predictions,
    misfit_of_target,
    validate,
)
from repvit_nas.predictors.ensemble import design, fit
from repvit_nas.predictors.fit_measured import PartlyMeasured, assumptions_for, learn
from repvit_nas.predictors.held_out import Evaluation, evaluate, learning_curve
from repvit_nas.predictors.lookup import ARRAYS_FILE
from repvit_nas.predictors.predictor import (
    PREDICTOR_FILE,
    FittedOn,
    MemberRecord,
    Predictor,
    PredictorFile,
    load_predictor,
    predictor_of,
)
from repvit_nas.predictors.table_observations import (
    beside_measured,
    beside_published,
    unit_observations,
)
from repvit_nas.version import __version__

PICTURE_FILE: Final = "validation.png"
# Fewer published rows than this do not determine the coefficients at all.
FEWEST_OBSERVATIONS: Final = 12
# Other devices that a learning curve starts from, if they are there: the modelled phone, and
# whatever else was measured.
_MODELLED_BASE: Final = "iphone12"

Progress = Callable[[str, int, int], None]


def _quiet(_doing: str, _done: int, _total: int) -> None:
    """Tell nobody."""


class Fitted(NamedTuple):
    """A fitted predictor and how far off it is.

    Attributes:
        predictor: The predictor's file.
        validation: How far off it is; of which kind depends on the device's kind.
        arrays: What a measured device keeps beside the predictor's file.
        assumptions: Assumptions that the device has none of where it is written to.
    """

    predictor: PredictorFile
    validation: Validation | Evaluation
    arrays: bytes = b""
    assumptions: Assumptions | None = None

    def ready(self) -> Predictor:
        """Return the predictor as it will be when it is loaded."""
        return predictor_of(self.predictor, self.arrays)


def fit_measured(device: Device, progress: Progress = _quiet) -> tuple[Fitted, Evaluation]:
    """Fit a measured device to its table, and say how far off the fit is.

    Where latencies of the device were published too, one fit takes both.

    Raises:
        FileError: The table is not valid.
        RepvitNasError: There are too few observations.
    """
    path = device.path(TABLE_FILE)
    table = read_table(path)
    given = find_assumptions(device)
    assumptions = assumptions_for(table) if given is None else files.read_json(given, Assumptions)
    beside = device.path(PUBLISHED_FILE)
    published = read_observations(beside) if beside.is_file() else []
    learning = learn(table, assumptions, published=published)
    digests = (
        device.digest(),
        files.digest(msgspec.json.encode(assumptions)),
    )
    file = msgspec.structs.replace(
        learning.predictor.file,
        fitted_on=FittedOn(
            observations=len(table.units) + len(table.networks("calibration")) + len(published),
            digest=digests[0],
            assumptions_digest=digests[1],
            repvit_nas=__version__,
        ),
    )
    networks = table.networks("held_out")
    if len(networks) < 2:
        raise RepvitNasError(
            f"{path}: {len(networks)} held-out networks are too few to say how far off a fit is; "
            "measure with --networks 2 or more"
        )
    curve = learning_curve(table, assumptions, _bases(device), progress, published)
    evaluation = evaluate(
        device.file.title,
        table,
        learning.predictor,
        networks,
        curve=curve,
        left_out=learning.left_out,
    )
    # The folder that is written hides the shipped one: what was assumed goes with it.
    folder = data.listed("predictors").get(device.name)
    made = assumptions if given is None or (folder is not None and folder.shipped) else None
    return Fitted(file, evaluation, learning.arrays, made), evaluation


def evaluate_afresh(device: Device, predictor: Predictor, table: Table, timed: Table) -> Evaluation:
    """Compare a predictor with networks timed after it was fitted.

    Args:
        device: The device.
        predictor: Its predictor.
        table: What the predictor was fitted to; the baselines are too.
        timed: The new networks, and their units alone where those were timed.
    """
    both = msgspec.structs.replace(
        timed,
        device=device.name,
        rows=(*table.units, *table.networks("calibration"), *timed.rows),
    )
    return evaluate(device.file.title, both, predictor, timed.networks("held_out"))


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


def fit_published(device: Device, progress: Progress = _quiet) -> tuple[Fitted, Validation]:
    """Fit a modelled device to the latencies published of it, and say how far off the fit is.

    What was timed, but is too little to make it a measured device, is fitted with them: see
    :func:`beside_measured`. Units that were timed take the place of their modelled figures.

    Raises:
        RepvitNasError: There are too few published rows.
    """
    published = device.path(PUBLISHED_FILE)
    observations = read_observations(published)
    if len(observations) < FEWEST_OBSERVATIONS:
        raise RepvitNasError(
            f"{published}: {len(observations)} rows are too few to fit a device; "
            f"at least {FEWEST_OBSERVATIONS} are needed"
        )
    path = find_assumptions(device)
    if path is None:
        raise RepvitNasError(
            f"device {device.name!r} has no predictors/{device.name}/{ASSUMPTIONS_FILE}: copy that "
            "of iphone12 and state the device's limits there"
        )
    assumptions = files.read_json(path, Assumptions)
    errors = assumptions.errors
    table = read_table(device.path(TABLE_FILE)) if device.path(TABLE_FILE).is_file() else None
    units = [] if table is None else unit_observations(table, table.units)
    if table is not None:
        observations += beside_published(table, observations)
        errors = beside_measured(errors, table)
    problem = design([*observations, *units], assumptions.forms, errors, assumptions.columns)
    members = fit(problem)
    timed = (
        None if table is None or not units else PartlyMeasured(table, assumptions.columns, errors)
    )
    found = None if timed is None else timed.refined(members)
    groups = len({item.network for item in observations} | {item.family for item in observations})
    done = itertools.count()
    validation, quantile = validate(
        device.name,
        observations,
        problem,
        members,
        errors,
        progress=lambda name: progress(f"validating without {name}", next(done), groups),
        predict=ensemble_predictions
        if timed is None or found is None
        else timed.predictions(observations + units, found.learned.part.kernel),
    )
    predictor = PredictorFile(
        device=device.name,
        source="modelled",
        columns=assumptions.columns,
        members=tuple(
            MemberRecord(
                member.form,
                round(float(member.overhead_ms), 6),
                tuple(round(float(value), 6) for value in member.coefficients),
            )
            for member in members
        ),
        misfit=misfit_of_target(errors),
        large_misfit=errors.large,
        quantile=round(quantile, 4),
        fitted_on=FittedOn(
            observations=len(observations) + len(units),
            digest=device.digest(),
            assumptions_digest=files.digest(files.read_bytes(path)),
            repvit_nas=__version__,
        ),
        measured=None if found is None else found.learned.part,
    )
    # The folder that is written hides the shipped one: what was assumed goes with it.
    folder = data.listed("predictors").get(device.name)
    made = assumptions if folder is not None and folder.shipped else None
    arrays = b"" if found is None else found.arrays
    return Fitted(predictor, validation, arrays, made), validation


def find_assumptions(device: Device) -> Path | None:
    """Return the path of the assumptions that a device is fitted under, if there are any."""
    found = data.listed("predictors").get(device.name)
    if found is None:
        return None
    runtime = device.file.runtime
    # A Core ML device's name stands for one model wherever it is measured; a processor's does not.
    own = runtime is None or runtime.name == "coreml" or found.shipped == device.folder.shipped
    if device.file.kind == "measured" and not own:
        return None
    path = found.path / ASSUMPTIONS_FILE
    return path if path.is_file() else None


def write_fitted(folder: Path, fitted: Fitted, *, picture: bytes) -> None:
    """Write a fitted predictor, its validation and the picture of that into `folder`."""
    if fitted.assumptions is not None:
        files.write_json(folder / ASSUMPTIONS_FILE, fitted.assumptions)
    lists = ("checks", "unit_checks") if isinstance(fitted.validation, Evaluation) else ("checks",)
    files.write_bytes(folder / VALIDATION_FILE, files.encode_lines(fitted.validation, *lists))
    files.write_bytes(folder / PICTURE_FILE, picture)
    if fitted.arrays:
        files.write_bytes(folder / ARRAYS_FILE, fitted.arrays)
    files.write_bytes(folder / PREDICTOR_FILE, _encoded(fitted.predictor))


def _encoded(predictor: PredictorFile) -> bytes:
    """Return a predictor file, a line for each member, and for each timed unit."""
    return files.encode_lines(predictor, "members")
