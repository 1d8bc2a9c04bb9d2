"""`repvit-nas devices`: which devices there are."""

import click

from repvit_nas.commands.options import debug_option, echo_json, json_option, show


@click.command("devices")
@json_option
@debug_option
def command(*, as_json: bool) -> None:
    r"""List the devices: how their latencies are known, and how far off predictions are.

    \b
    Example: repvit-nas devices
    """
    from repvit_nas.api.devices import devices

    found = devices()
    if as_json:
        echo_json([device._asdict() for device in found])
    else:
        show(found.grid())
