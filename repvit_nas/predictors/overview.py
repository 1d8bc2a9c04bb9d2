"""What there is to predict with: every device and how far off its predictor is."""

from typing import NamedTuple

from repvit_nas import data
from repvit_nas.latency_lut.device import device_names, load_device
from repvit_nas.predictors.predictor_file import PREDICTOR_FILE, read_predictor_file
from repvit_nas.predictors.validation import VALIDATION_FILE, read_validation


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
    observations, left_out, coverage = 0, None, None
    if folder is not None and (folder.path / PREDICTOR_FILE).is_file():
        predictor = read_predictor_file(folder.path / PREDICTOR_FILE, name)
        observations = predictor.fitted_on.observations
        validation = read_validation(folder.path / VALIDATION_FILE, name)
        left_out, coverage = validation.unseen_percent, validation.coverage_percent
    return DeviceOverview(
        name,
        device.file.title,
        device.file.kind,
        observations,
        left_out,
        coverage,
        str(device.folder),
    )
