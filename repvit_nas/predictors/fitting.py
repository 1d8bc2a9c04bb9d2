"""From a device's folder to its fitted and validated predictor: what the command `fit` does."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from repvit_nas import __version__, data, files
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import Device
from repvit_nas.latency_lut.published import PUBLISHED_FILE, read_observations
from repvit_nas.predictors.assumptions import ASSUMPTIONS_FILE, Assumptions
from repvit_nas.predictors.fit import design, fit
from repvit_nas.predictors.predictor import (
    PREDICTOR_FILE,
    FittedOn,
    MemberRecord,
    PredictorFile,
)
from repvit_nas.predictors.validate import (
    VALIDATION_FILE,
    Validation,
    misfit_of_target,
    validate,
)

PICTURE_FILE: Final = "validation.png"
# Fewer published rows than this do not determine the coefficients at all.
FEWEST_OBSERVATIONS: Final = 12


class Fitted(NamedTuple):
    """A fitted predictor and how far off it is."""

    predictor: PredictorFile
    validation: Validation


def fit_published(device: Device, progress: Callable[[str], None] = lambda _: None) -> Fitted:
    """Fit a modelled device to the latencies published of it.

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
    path = assumptions_path(device)
    assumptions = files.read_json(path, Assumptions)
    errors = assumptions.errors
    problem = design(observations, assumptions.forms, errors, assumptions.columns)
    members = fit(problem)
    validation, quantile = validate(
        device.name, observations, problem, members, errors, progress=progress
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
            observations=len(observations),
            digest=files.digest(files.read_bytes(published)),
            assumptions_digest=files.digest(files.read_bytes(path)),
            repvit_nas=__version__,
        ),
    )
    return Fitted(predictor, validation)


def assumptions_path(device: Device) -> Path:
    """Return the path of the assumptions that a device is fitted under."""
    found = data.listed("predictors").get(device.name)
    path = found.path / ASSUMPTIONS_FILE if found else None
    if path is None or not path.is_file():
        raise RepvitNasError(
            f"device {device.name!r} has no predictors/{device.name}/{ASSUMPTIONS_FILE}: copy that "
            "of iphone12 and state the device's limits there"
        )
    return path


def write_fitted(folder: Path, fitted: Fitted, *, picture: bytes) -> None:
    """Write a fitted predictor, its validation and the picture of that into `folder`."""
    files.write_bytes(folder / VALIDATION_FILE, files.encode_lines(fitted.validation, "checks"))
    files.write_bytes(folder / PICTURE_FILE, picture)
    files.write_bytes(folder / PREDICTOR_FILE, files.encode_lines(fitted.predictor, "members"))
