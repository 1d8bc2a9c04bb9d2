"""What the commands that time Core ML devices share: plans, exports, and what they print."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.options import echo_json, note, progress_bar
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.phone.products import Product
    from repvit_nas.predictors.campaign import Wishes
    from repvit_nas.search_space.space import Space


def core_ml_device(device: str, runtime: str | None, *, exporting: bool) -> "Product | None":
    """Return the Core ML device that a name stands for; None if something else is to time it.

    Raises:
        RepvitNasError: Programs are to be exported for a device that runs no Core ML.
    """
    from repvit_nas.phone.products import product, products

    found = product(device) if runtime is None else None
    if found is None and exporting:
        raise RepvitNasError(
            f"--export writes programs for Core ML devices; {device!r} is none; known: "
            f"{', '.join(products())}"
        )
    return found


def core_ml_wishes(wishes: "Wishes") -> "Wishes":
    """Return what to measure on a Core ML device: where no option says so, its own numbers."""
    from click.core import ParameterSource

    from repvit_nas.phone.exporting import CALIBRATION, HELD_OUT, UNITS

    context = click.get_current_context()
    own = {
        "units": ("units", UNITS),
        "networks": ("held_out", HELD_OUT),
        "calibration": ("calibration", CALIBRATION),
        # A lone unit is too small for Core ML to put it where a network's units run.
        "isolated": ("isolated", False),
    }
    silent: dict[str, Any] = {
        field: value
        for option, (field, value) in own.items()
        if context.get_parameter_source(option) is ParameterSource.DEFAULT
    }
    return wishes._replace(**silent)


def export_programs(
    device: "Product", folder: Path, space: "Space", wishes: "Wishes", *, as_json: bool
) -> int:
    """Write every program to time into a folder, and say how to go on from there."""
    from repvit_nas.phone.exporting import device_plan, export

    plan = device_plan(space, wishes, at_once=True)
    with progress_bar() as progress:
        manifest = export(folder, plan, device, progress=progress)
    if as_json:
        import msgspec

        document: dict[str, Any] = msgspec.to_builtins(manifest)
        echo_json(document)
        return 0
    size = sum(entry.size_bytes for entry in manifest.programs)
    note(
        f"{len(manifest.programs)} programs ({size / 1e6:,.0f} MB) are in {folder}, each checked "
        "against torch. Time them on the device: with Xcode's performance report (save each as "
        f"NAME.mlperf into {folder}), or in a device lab (write its figures as CSV or JSON into "
        f"{folder}), as docs/iphone.md shows; then run repvit-nas import-measurements {folder} "
        f"--device {device.device}"
    )
    return 0
