"""What the commands that fit a device share: fit and write it, and show how far off the fit is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from repvit_nas.commands.answer import Answer
from repvit_nas.commands.console import note, progress_bar, show
from repvit_nas.folders import held

if TYPE_CHECKING:
    from repvit_nas.coreml.products import Product
    from repvit_nas.latency_lut.device import Device
    from repvit_nas.predictors.validation import Validation


def fit_and_write(device: "Device", beside: Mapping[Path, bytes] | None = None) -> "Validation":
    """Fit a device to what is known of it, write its predictor, and return how far off that is.

    Args:
        device: The device.
        beside: The content of other files by their path, which are written with it or not at all.
    """
    from repvit_nas.predictors.fit_device import fit_device, write_fitted
    from repvit_nas.report.validation import validation_picture

    folder = Path("predictors") / device.name
    with held(folder, otherwise="fit another device"):
        with progress_bar() as progress:
            fit = fit_device(device, progress)
        picture = validation_picture(fit.validation, fit.predictor)
        write_fitted(folder, fit, picture=picture, beside=beside or {})
    return fit.validation


def show_validation(validation: "Validation") -> None:
    """Print how far off a predictor is."""
    from repvit_nas.report.validation import validation_parts

    show(*validation_parts(validation))


def answer(validation: "Validation", folder: Path) -> Answer["Validation"]:
    """Answer how far off the fit of a device is, and where its folder and its predictor are."""

    def show_all(validation: "Validation") -> None:
        show_validation(validation)
        note(f"written to {folder} and {Path('predictors') / validation.device}")

    return Answer(validation, show_all)


def fitted(device: "Device") -> Answer["Validation"]:
    """Fit a device and write its predictor; see :func:`answer`."""
    return answer(fit_and_write(device), device.folder.path)


def combined_and_fitted(
    product: "Product", folder: Path, *, everywhere: bool, latest: str = ""
) -> Answer["Validation"]:
    """Combine the series of a Core ML device, fit it, and answer how far off the fit is.

    Args:
        product: The device.
        folder: Its folder.
        everywhere: Count programs too that did not run on the Neural Engine alone.
        latest: The series that was measured just now, if one was.
    """
    from repvit_nas.coreml.publishing import publish

    published = publish(product, folder, everywhere=everywhere, latest=latest)
    for line in published.said():
        note(line)
    return fitted(published.device)
