"""What there is to predict with: every device and how far off its predictor is."""

from pathlib import Path
from typing import NamedTuple

from repvit_nas import data, files
from repvit_nas.latency_lut.device import device_names, load_device
from repvit_nas.predictors.cross_validation import TARGET_FAMILY, VALIDATION_FILE, Validation
from repvit_nas.predictors.held_out import Evaluation
from repvit_nas.predictors.metrics import PREDICTOR
from repvit_nas.predictors.predictor import PREDICTOR_FILE, read_predictor


class DeviceOverview(NamedTuple):
    """One device.

    Attributes:
        device: Its name on the command line.
        title: The name people use.
        kind: Whether its latencies are modelled or measured.
        observations: Latencies its predictor was fitted on; 0 if it is not fitted.
        left_out_percent: Mean error on networks that no fit saw: the RepViT family left out for a
            modelled device, random networks for a measured one.
        coverage_percent: How often the 90 % interval held for networks left out of the fit.
        found: Where its table was found.
    """

    device: str
    title: str
    kind: str
    observations: int
    left_out_percent: float | None
    coverage_percent: float | None
    found: str


def overview() -> list[DeviceOverview]:
    """Describe every device there is."""
    fitted = data.listed("predictors")
    return [_overview(name, fitted.get(name)) for name in device_names()]


def _overview(name: str, folder: data.Found | None) -> DeviceOverview:
    device = load_device(name)
    measured = device.file.kind == "measured"
    observations, left_out, coverage = 0, None, None
    if folder is not None and (folder.path / PREDICTOR_FILE).is_file():
        predictor = read_predictor(folder.path / PREDICTOR_FILE)
        observations = predictor.file.fitted_on.observations
        left_out, coverage = _errors(folder.path / VALIDATION_FILE, measured=measured)
    return DeviceOverview(
        name,
        device.file.title,
        device.file.kind,
        observations,
        left_out,
        coverage,
        str(device.folder),
    )


def _errors(path: Path, *, measured: bool) -> tuple[float | None, float | None]:
    """Return the mean error on networks that no fit saw, and how often intervals held."""
    if measured:
        evaluation = files.read_json(path, Evaluation)
        return evaluation.scores[PREDICTOR].mape, evaluation.coverage
    validation = files.read_json(path, Validation)
    target = validation.summaries.get(TARGET_FAMILY)
    return (
        target.without_family_percent if target else None,
        validation.summaries["all"].coverage_percent,
    )
