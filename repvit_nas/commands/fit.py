"""`repvit-nas fit`: fit a device's predictor to what is known of it."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.options import (
    debug_option,
    device_option,
    echo_json,
    json_option,
    note,
)
from repvit_nas.commands.runtime import (
    fit_and_write,
    fit_published_and_write,
    show_evaluation,
    show_published,
)

if TYPE_CHECKING:
    from collections.abc import Callable


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
    folder = Path("predictors") / device
    if loaded.file.kind == "measured":
        evaluation: Any = fit_and_write(loaded)
        show: Callable[[], None] = functools.partial(show_evaluation, evaluation, device)
    else:
        evaluation = fit_published_and_write(loaded, folder)
        show = functools.partial(show_published, evaluation, device)
    note(f"fitted on {loaded.folder}, written to {folder}")
    if as_json:
        import msgspec

        document: dict[str, Any] = msgspec.to_builtins(evaluation)
        echo_json(document)
        return
    show()


def _without_moved(device: str, folder: Path, *, as_json: bool) -> bool:
    """Fit a Core ML device anew if a series of its table was moved away, and return whether so."""
    from repvit_nas.commands.coreml import publish_and_fit
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
        publish_and_fit(wanted, folder, everywhere=everywhere, as_json=as_json)
    return True
