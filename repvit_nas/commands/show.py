"""`repvit-nas show`: networks row by row."""

from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers, one_or_list
from repvit_nas.commands.arguments import checked_architecture, say_predictors
from repvit_nas.commands.console import show
from repvit_nas.commands.options import (
    accuracy_option,
    architectures_argument,
    debug_option,
    devices_option,
    foreign_option,
    output_option,
    outside_option,
    resolution_option,
    space_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repvit_nas.api.networks import Description
    from repvit_nas.architecture import OutputKind
    from repvit_nas.predictors.lookup import Outside


@click.command("show")
@architectures_argument
@devices_option
@resolution_option
@output_option
@space_option
@accuracy_option
@foreign_option
@outside_option
@answers
@debug_option
def command(
    archs: tuple[str, ...],
    devices: tuple[str, ...],
    resolution: int | None,
    output: "OutputKind | None",
    space: str | None,
    *,
    accuracy: str,
    foreign: bool,
    outside: "Outside",
) -> Answer["list[Description]"]:
    r"""Show the rows of each ARCH with MACs, parameters and milliseconds, and its estimated accuracy.

    \b
    Example: repvit-nas show results/iphone12-1.0ms:best
    """
    from repvit_nas.api.networks import describe

    networks = [
        checked_architecture(arch, space, resolution, output) for arch in dict.fromkeys(archs)
    ]
    where = [*dict.fromkeys(devices)]
    say_predictors(where, foreign=foreign, outside=outside)
    found = [
        describe(network, device, accuracy=accuracy, foreign=foreign, outside=outside)
        for network in networks
        for device in where
    ]
    return Answer(found, _show, _document)


def _document(found: "Sequence[Description]") -> object:
    return one_or_list([each.content for each in found])


def _show(found: "Sequence[Description]") -> None:
    for each in found:
        show(each.grid(), *each.lines())
