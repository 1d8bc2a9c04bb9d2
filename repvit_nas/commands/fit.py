"""`repvit-nas fit`: fit a device's predictor to what is known of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import note
from repvit_nas.commands.fitting import combined_and_fitted, fit_and_write, show_validation
from repvit_nas.commands.options import debug_option, device_option

if TYPE_CHECKING:
    from repvit_nas.predictors.validation import Validation


@click.command("fit")
@device_option
@answers
@debug_option
def command(device: str) -> Answer["Validation"]:
    r"""Fit and validate the predictor of a device, and write it to predictors/<device>/.

    A modelled device is fitted to published latencies; every network is predicted by fits that
    never saw it: without the network, without its whole family, and RepViT without RepNeXt too,
    whose networks have its shapes. A measured device is fitted to its table and compared with the
    networks that were held out. Where the folder of a series was moved away, the device's table is
    made of the others first.

    \b
    Example: repvit-nas fit --device iphone12
    """
    from repvit_nas.latency_lut.device import load_device

    loaded = load_device(device)
    anew = None if loaded.folder.shipped else _without_moved(device, loaded.folder.path)
    if anew is not None:
        return anew
    validation = fit_and_write(loaded)
    note(f"fitted on {loaded.folder}, written to {Path('predictors') / device}")
    return Answer(validation, show_validation)


def _without_moved(device: str, folder: Path) -> Answer["Validation"] | None:
    """Fit a Core ML device anew if a series of its table was moved away; None if none was."""
    from repvit_nas.coreml.products import product
    from repvit_nas.coreml.publishing import moved_away, take_back
    from repvit_nas.latency_lut.visits import hold

    wanted = product(device)
    gone = moved_away(folder) if wanted is not None else []
    if wanted is None or not gone:
        return None
    with hold(folder):
        everywhere = take_back(wanted, folder)
        note(f"series gone from {folder}: {', '.join(gone)}; the others are combined anew")
        return combined_and_fitted(wanted, folder, everywhere=everywhere)
