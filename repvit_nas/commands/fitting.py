"""What the commands that fit a device share: fit and write it, and show how far off the fit is."""

from pathlib import Path
from typing import TYPE_CHECKING

from repvit_nas.commands.options import console, echo_json, note, progress_bar, show
from repvit_nas.folders import held

if TYPE_CHECKING:
    from repvit_nas.coreml.products import Product
    from repvit_nas.latency_lut.device import Device
    from repvit_nas.predictors.validation import Validation


def fit_and_write(device: "Device") -> "Validation":
    """Fit a device to what is known of it, write its predictor, and return how far off that is."""
    from repvit_nas.predictors.fit_device import fit_device, write_fitted
    from repvit_nas.report.validation import validation_picture

    folder = Path("predictors") / device.name
    with held(folder, otherwise="fit another device"):
        with progress_bar() as progress:
            fitted = fit_device(device, progress)
        picture = validation_picture(fitted.validation, fitted.predictor)
        write_fitted(folder, fitted, picture=picture)
    return fitted.validation


def show_validation(validation: "Validation", *, as_json: bool) -> None:
    """Print how far off a predictor is."""
    from repvit_nas.report.validation import validation_parts

    if as_json:
        echo_json(validation)
        return
    for part in validation_parts(validation):
        if isinstance(part, str):
            console().print(part)
        else:
            show(part)


def fit_and_show(device: "Device", *, as_json: bool) -> None:
    """Fit a device, print how far off the fit is, and say where both folders are."""
    validation = fit_and_write(device)
    show_validation(validation, as_json=as_json)
    if not as_json:
        note(f"written to {device.folder.path} and {Path('predictors') / device.name}")


def combine_and_fit(
    product: "Product", folder: Path, *, everywhere: bool, as_json: bool, latest: str = ""
) -> None:
    """Combine the series of a Core ML device, fit it, and say how far off the fit is.

    Args:
        product: The device.
        folder: Its folder.
        everywhere: Count programs too that did not run on the Neural Engine alone.
        as_json: Print the validation as JSON.
        latest: The series that was measured just now, if one was.
    """
    from repvit_nas.coreml.publishing import publish

    published = publish(product, folder, everywhere=everywhere, latest=latest)
    for line in published.said():
        note(line)
    fit_and_show(published.device, as_json=as_json)
