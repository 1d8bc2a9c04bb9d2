"""`repvit-nas devices`: which devices there are."""

from typing import Any

import click

from repvit_nas.commands.options import console, debug_option, echo_json, json_option


@click.command("devices")
@json_option
@debug_option
def command(*, as_json: bool) -> None:
    r"""List the devices: how their latencies are known, and how far off predictions are.

    \b
    Example: repvit-nas devices
    """
    from repvit_nas.predictors.overview import overview

    devices = overview()
    if as_json:
        document: list[dict[str, Any]] = [device._asdict() for device in devices]
        echo_json(document)
        return
    from rich.table import Table

    table = Table(
        "device", "what", "latencies are", "fitted on", "error on unseen networks, %", "from"
    )
    for device in devices:
        error = device.left_out_percent
        table.add_row(
            device.device,
            device.title,
            device.kind,
            f"{device.observations} latencies" if device.observations else "not fitted",
            "" if error is None else f"{error:.1f}",
            device.found,
        )
    console().print(table)
