"""`repvit-nas fit`: fit a device's predictor to what is known of it."""

from pathlib import Path

import click

from repvit_nas.commands.fitting import combine_and_fit, fit_and_write, show_validation
from repvit_nas.commands.options import debug_option, device_option, json_option, note


@click.command("fit")
@device_option
@json_option
@debug_option
def command(device: str, *, as_json: bool) -> None:
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
    if not loaded.folder.shipped and _without_moved(device, loaded.folder.path, as_json=as_json):
        return
    validation = fit_and_write(loaded)
    note(f"fitted on {loaded.folder}, written to {Path('predictors') / device}")
    show_validation(validation, as_json=as_json)


def _without_moved(device: str, folder: Path, *, as_json: bool) -> bool:
    """Fit a Core ML device anew if a series of its table was moved away, and return whether so."""
    from repvit_nas.coreml.products import product
    from repvit_nas.coreml.publishing import moved_away, take_back
    from repvit_nas.latency_lut.visits import hold

    wanted = product(device)
    gone = moved_away(folder) if wanted is not None else []
    if wanted is None or not gone:
        return False
    with hold(folder):
        everywhere = take_back(wanted, folder)
        note(f"series gone from {folder}: {', '.join(gone)}; the others are combined anew")
        combine_and_fit(wanted, folder, everywhere=everywhere, as_json=as_json)
    return True
