"""`repvit-nas path`: the networks between MobileNetV3-L and RepViT, published against predicted."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.arguments import say_predictors
from repvit_nas.commands.console import note, show
from repvit_nas.commands.options import debug_option, devices_option, foreign_option, outside_option
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repvit_nas.api.path import PathTable
    from repvit_nas.predictors.lookup import Outside


@click.command("path")
@devices_option
@foreign_option
@outside_option
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it into a PNG file."
)
@answers
@debug_option
def command(
    devices: tuple[str, ...],
    *,
    foreign: bool,
    outside: "Outside",
    plot: Path | None,
) -> Answer["list[PathTable]"]:
    r"""Show the path from MobileNetV3-L to RepViT-M0.9 step by step: published and predicted.

    Each network of it is an ARCH, path:0 to path:9 and path:3b, for predict, show, measure, train and
    export. JSON says of each what the paper leaves open, and how it was read.

    \b
    Example: repvit-nas path --plot path.png
    """
    from repvit_nas import files
    from repvit_nas.api.path import path
    from repvit_nas.report.path_rows import path_picture

    where = [*dict.fromkeys(devices)]
    if plot is not None and len(where) > 1:
        raise RepvitNasError(f"--plot draws one device; got {', '.join(where)}")
    found = [path(device, foreign=foreign, outside=outside) for device in where]
    say_predictors(where, foreign=foreign, outside=outside)
    if plot is not None:
        files.write_bytes(plot, path_picture(found[0].content))
        note(f"drawn in {plot}")
    return Answer(found, _show, _document)


def _show(found: "Sequence[PathTable]") -> None:
    for each in found:
        show(each.grid(), *each.lines())


def _document(found: "Sequence[PathTable]") -> object:
    return [row for each in found for row in each.documents()]
