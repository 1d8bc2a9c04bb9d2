"""`repvit-nas import-latencies`: latencies of whole networks, measured anywhere, into a device."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import note
from repvit_nas.commands.fitting import answer, fit_and_write
from repvit_nas.commands.options import debug_option
from repvit_nas.errors import ContradictionError

if TYPE_CHECKING:
    from repvit_nas.predictors.validation import Validation


@click.command("import-latencies")
@click.argument("file", metavar="FILE.csv", type=click.Path(path_type=Path))
@click.option("--device", required=True, help="The device that they were timed on; may be new.")
@click.option(
    "--like",
    default="",
    metavar="DEVICE",
    help="For a new device: the one whose predictor the latencies shift and scale.",
)
@click.option("--title", default="", metavar="TEXT", help="What people call a new device.")
@click.option(
    "--unlike-predicted",
    is_flag=True,
    help="Take latencies too that are far from those predicted.",
)
@answers
@debug_option
def command(
    file: Path, device: str, like: str, title: str, *, unlike_predicted: bool
) -> Answer["Validation"]:
    r"""Take latencies of whole networks into a device, and fit it.

    FILE.csv has a line for each: `architecture` (a reference name, an architecture file, a winner of a
    run, a training run, or the content of an architecture file), `latency_ms` of one image and `tool`, what
    timed it; and, where there is something to say, `error_ms` (a standard deviation, else 3 %),
    `resolution` and `num_classes` where they are not the architecture's, `source` and `note`.

    They are added to what the device has; nothing is replaced. A new device needs nothing else: the
    predictor of the device that it is --like is shifted and scaled, with intervals as wide as so few
    latencies leave it, and each network is predicted by a fit without it. Nothing is written where a line is
    not valid, is there already, is most likely in another unit, or fits no model of the device.

    \b
    Example: repvit-nas import-latencies pixel8.csv --device pixel8 --like iphone12
    """
    from repvit_nas.latency_lut.visits import hold
    from repvit_nas.own_latencies import (
        added,
        check_latencies,
        contradicted,
        read_latencies,
        said_of,
        target_of,
        with_latencies,
    )

    target = target_of(device, like, title)
    given = read_latencies(file)
    check_latencies(file, target, given, unlike_predicted=unlike_predicted)
    with hold(target.folder), tempfile.TemporaryDirectory() as beside:
        check_latencies(file, target, given, unlike_predicted=True)  # another may have added them
        wanted = with_latencies(target, given, Path(beside))
        try:
            validation = fit_and_write(wanted, added(target, wanted))
        except ContradictionError as error:
            raise contradicted(file, target, error) from error
        note(said_of(target, given))
    return answer(validation, target.folder)
