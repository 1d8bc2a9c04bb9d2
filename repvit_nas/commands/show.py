"""`repvit-nas show`: networks row by row."""

from typing import TYPE_CHECKING

import click

from repvit_nas.commands.options import (
    accuracy_option,
    architectures_argument,
    checked_architecture,
    console,
    debug_option,
    devices_option,
    echo_documents,
    foreign_option,
    json_option,
    output_option,
    outside_option,
    resolution_option,
    say_predictors,
    show,
    space_option,
)

if TYPE_CHECKING:
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
@json_option
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
    as_json: bool,
) -> None:
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
    if as_json:
        echo_documents([each.document() for each in found])
        return
    for each in found:
        show(each.grid())
        for line in each.lines():
            console().print(line)
