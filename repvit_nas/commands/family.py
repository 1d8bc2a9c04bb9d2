"""`repvit-nas family`: the reference networks, published against predicted."""

from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.arguments import say_predictors
from repvit_nas.commands.console import show
from repvit_nas.commands.options import debug_option, devices_option, foreign_option, outside_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repvit_nas.api.devices import Family
    from repvit_nas.predictors.lookup import Outside


@click.command("family")
@devices_option
@click.option(
    "--resolution", type=int, default=224, show_default=True, metavar="PX", help="Input side."
)
@foreign_option
@outside_option
@answers
@debug_option
def command(
    devices: tuple[str, ...], resolution: int, *, foreign: bool, outside: "Outside"
) -> Answer["list[Family]"]:
    r"""Compare every reference network: published and predicted latency and accuracy.

    \b
    Example: repvit-nas family --device iphone12
    """
    from repvit_nas.api.devices import family

    where = [*dict.fromkeys(devices)]
    found = [
        family(device, resolution=resolution, foreign=foreign, outside=outside) for device in where
    ]
    say_predictors(where, foreign=foreign, outside=outside)
    return Answer(found, _show, _document)


def _show(found: "Sequence[Family]") -> None:
    for each in found:
        show(each.grid())


def _document(found: "Sequence[Family]") -> object:
    return [row.document() | {"predictor": each.found} for each in found for row in each]
