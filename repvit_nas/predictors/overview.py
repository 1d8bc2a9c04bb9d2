"""What there is to predict with: every device and how far off its predictor is."""

from typing import NamedTuple

from repvit_nas import data, files
from repvit_nas.latency_lut.device import device_names, load_device
from repvit_nas.predictors.predictor import PREDICTOR_FILE, read_predictor
from repvit_nas.predictors.validate import TARGET_FAMILY, VALIDATION_FILE, Validation


class DeviceOverview(NamedTuple):
    """One device.

    Attributes:
        device: Its name on the command line.
        title: The name people use.
        kind: Whether its latencies are modelled or measured.
        observations: Latencies its predictor was fitted on; 0 if it is not fitted.
        left_out_percent: Mean error on the RepViT family when that was left out of the fit.
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
    observations, left_out, coverage = 0, None, None
    if folder is not None and (folder.path / PREDICTOR_FILE).is_file():
        predictor = read_predictor(folder.path / PREDICTOR_FILE)
        observations = predictor.file.fitted_on.observations
        validation = files.read_json(folder.path / VALIDATION_FILE, Validation)
        coverage = validation.summaries["all"].coverage_percent
        target = validation.summaries.get(TARGET_FAMILY)
        left_out = target.without_family_percent if target else None
    return DeviceOverview(
        name,
        device.file.title,
        device.file.kind,
        observations,
        left_out,
        coverage,
        str(device.folder),
    )
