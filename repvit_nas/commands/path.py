"""`repvit-nas path`: the networks between MobileNetV3-L and RepViT, published or measured against predicted."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.arguments import say_predictors
from repvit_nas.commands.console import note, progress_bar, show
from repvit_nas.commands.options import (
    debug_option,
    devices_option,
    foreign_option,
    outside_option,
    phone_options,
)
from repvit_nas.commands.runtime import check_minutes, check_options
from repvit_nas.commands.stopping import stoppable
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repvit_nas.api.path import PathTable
    from repvit_nas.latency_lut.table import NetworkRow
    from repvit_nas.predictors.lookup import Outside
    from repvit_nas.timing import Access

# Of eleven networks and the sentinel, for two rounds and more.
MINUTES: Final = 2.0
CORE_ML_MINUTES: Final = 30.0
# What does nothing where nothing is timed.
_OF_MEASURE: Final = ("minutes", "team", "udid")


@click.command("path")
@devices_option
@foreign_option
@outside_option
@click.option("--measure", is_flag=True, help="Time each network on the device, as measure does.")
@click.option(
    "--minutes", type=float, help="Minutes of timing at most. [2; 30 on a Core ML device]"
)
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it into a PNG file."
)
@phone_options
@answers
@debug_option
def command(
    devices: tuple[str, ...],
    *,
    foreign: bool,
    outside: "Outside",
    measure: bool,
    minutes: float | None,
    plot: Path | None,
    team: str,
    udid: str,
) -> Answer["list[PathTable]"]:
    r"""Show the path from MobileNetV3-L to RepViT-M0.9 step by step: published and predicted.

    Each network of it is an ARCH, path:0 to path:9 and path:3b, for predict, show, measure, train and
    export. JSON says of each what the paper leaves open, and how it was read. With --measure each is
    timed on a device that measure-lut measured here, and predictions are compared with that.

    \b
    Example: repvit-nas path --plot path.png
             repvit-nas path --device cpu --measure
    """
    from repvit_nas import files
    from repvit_nas.api.path import path
    from repvit_nas.report.path_rows import path_picture
    from repvit_nas.timing import Access

    where = [*dict.fromkeys(devices)]
    if plot is not None and len(where) > 1:
        raise RepvitNasError(f"--plot draws one device; got {', '.join(where)}")
    if minutes is not None:
        check_minutes(minutes)
    idle = [] if measure else [name for name in _OF_MEASURE if _is_given(name)]
    if idle:
        raise RepvitNasError(f"--{idle[0]} is of --measure; give both, or neither")
    access = Access(team, udid)
    timed = [_timed(device, minutes, access) if measure else () for device in where]
    found = [
        path(device, foreign=foreign, outside=outside, measured=rows)
        for device, rows in zip(where, timed, strict=True)
    ]
    say_predictors(where, foreign=foreign, outside=outside)
    if plot is not None:
        files.write_bytes(plot, path_picture(found[0].content))
        note(f"drawn in {plot}")
    return Answer(found, _show, _document)


def _is_given(option: str) -> bool:
    """Return whether the command line, not the environment, gives an option."""
    source = click.get_current_context().get_parameter_source(option)
    return source is ParameterSource.COMMANDLINE


def _timed(device: str, minutes: float | None, access: "Access") -> "Sequence[NetworkRow]":
    """Time the networks of the path on a device that was measured here."""
    from repvit_nas.measuring.session import Limits
    from repvit_nas.search_space.path import networks
    from repvit_nas.timing import NETWORK_PRECISION, measured_device, time_on, timed_by_core_ml

    known = measured_device(device)
    core_ml = timed_by_core_ml(known)
    check_options(device, core_ml=core_ml)
    usual = CORE_ML_MINUTES if core_ml else MINUTES
    limits = Limits(minutes or usual, NETWORK_PRECISION)
    with progress_bar() as bar, stoppable(bar) as progress:
        timed = time_on(known, list(networks().values()), limits, progress, access=access, say=note)
    if timed.off:
        note(f"advice: {number_of(len(timed.off), 'network')} not on the Neural Engine alone")
    if timed.slower:
        note(f"advice: {timed.slower}")
    return timed.table.networks("held_out")


def _show(found: "Sequence[PathTable]") -> None:
    for each in found:
        show(each.grid(), *each.lines())


def _document(found: "Sequence[PathTable]") -> object:
    return [row for each in found for row in each.documents()]
