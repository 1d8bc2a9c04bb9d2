"""`repvit-nas devices`: which devices there are."""

from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import show
from repvit_nas.commands.options import debug_option

if TYPE_CHECKING:
    from repvit_nas.api.devices import Devices


@click.command("devices")
@answers
@debug_option
def command() -> Answer["Devices"]:
    r"""List the devices: how their latencies are known, and how far off predictions are.

    \b
    Example: repvit-nas devices
    """
    from repvit_nas.api.devices import devices

    return Answer(devices(), _show, _document)


def _show(found: "Devices") -> None:
    show(found.grid())


def _document(found: "Devices") -> object:
    return [device._asdict() for device in found]
