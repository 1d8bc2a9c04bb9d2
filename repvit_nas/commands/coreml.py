"""What measure-lut does on a Core ML device: time a series there, or write what others are to time."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from click.exceptions import Exit

from repvit_nas.commands import INTERRUPTED
from repvit_nas.commands.answer import Answer
from repvit_nas.commands.console import note, progress_bar
from repvit_nas.commands.fitting import combined_and_fitted
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.coreml.exporting import Manifest
    from repvit_nas.coreml.products import Product
    from repvit_nas.measuring.campaign import Wishes
    from repvit_nas.measuring.session import Limits
    from repvit_nas.predictors.validation import Validation
    from repvit_nas.search_space.space import Space


def core_ml_device(device: str, runtime: str | None, *, exporting: bool) -> "Product | None":
    """Return the Core ML device that a name stands for; None if something else is to time it.

    Raises:
        RepvitNasError: Core ML is asked for by name, or programs are to be exported, for a device
            that runs no Core ML.
    """
    from repvit_nas.coreml.products import product, products
    from repvit_nas.latency_lut.device import CORE_ML

    found = product(device) if runtime in (None, CORE_ML) else None
    if found is None and (exporting or runtime == CORE_ML):
        raise RepvitNasError(
            f"{'--export' if exporting else '--runtime coreml'} is for Core ML devices; {device!r} is "
            f"none; known: {', '.join(products())}"
        )
    return found


def export_programs(
    device: "Product", folder: Path, space: "Space", wishes: "Wishes"
) -> Answer["Manifest"]:
    """Write every program to time into a folder, and say how to go on from there."""
    from repvit_nas.coreml.exporting import device_plan, export

    plan = device_plan(space, wishes, at_once=True)
    with progress_bar() as progress:
        manifest = export(folder, plan, device, progress=progress)
    return Answer(manifest, partial(_show_manifest, folder))


def _show_manifest(folder: Path, manifest: "Manifest") -> None:
    size = sum(entry.size_bytes for entry in manifest.programs)
    note(
        f"{len(manifest.programs)} programs ({size / 1e6:,.0f} MB) are in {folder}, each checked "
        "against torch. Time them on the device: with Xcode's performance report (save each as "
        f"NAME.mlperf into {folder}), or in a device lab (write its figures as CSV or JSON into "
        f"{folder}), as docs/iphone.md shows; then run repvit-nas import-measurements {folder} "
        f"--device {manifest.device}"
    )


def measure_device(
    device: "Product",
    space: "Space",
    wishes: "Wishes",
    limits: "Limits",
    *,
    team: str,
    udid: str,
    everywhere: bool,
) -> Answer["Validation"]:
    """Measure a Core ML device: convert, make it ready, run the session, combine and fit.

    Raises:
        RepvitNasError: Something is missing; what was timed until then is kept.
    """
    from repvit_nas.commands.stopping import stoppable
    from repvit_nas.coreml.campaign import time_series
    from repvit_nas.coreml.exporting import device_plan
    from repvit_nas.coreml.opening import check_here
    from repvit_nas.coreml.publishing import claim_folder
    from repvit_nas.latency_lut.series import read_series
    from repvit_nas.latency_lut.visits import hold

    check_here(device, team=team, udid=udid)
    folder = Path("latency_lut") / device.device
    plan = device_plan(space, wishes, at_once=False)
    read_series(folder, device.device)  # a damaged one is no surprise for the end of a session
    with hold(folder):
        claim_folder(device, folder)
        try:
            with progress_bar() as bar, stoppable(bar) as progress:
                latest = time_series(
                    device,
                    folder,
                    plan,
                    space,
                    wishes,
                    limits=limits,
                    team=team,
                    udid=udid,
                    everywhere=everywhere,
                    say=note,
                    progress=progress,
                )
        except KeyboardInterrupt:
            note(
                f"stopped; what was timed is kept in {folder}: the same command goes on from there"
            )
            raise Exit(INTERRUPTED) from None
        return combined_and_fitted(device, folder, everywhere=everywhere, latest=latest)
