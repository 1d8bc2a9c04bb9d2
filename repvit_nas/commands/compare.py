"""`repvit-nas compare`: which network is better, by how much, and is it settled?"""

from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.arguments import checked_architecture, say_predictors
from repvit_nas.commands.completion import complete_device, complete_network
from repvit_nas.commands.console import show
from repvit_nas.commands.options import accuracy_option, debug_option, foreign_option, space_option
from repvit_nas.data import DEFAULT_DEVICE

if TYPE_CHECKING:
    from repvit_nas.api.comparing import Comparison


@click.command("compare")
@click.argument(
    "networks",
    metavar="RUN_OR_ARCH...",
    nargs=-1,
    required=True,
    shell_complete=complete_network,
)
@click.option(
    "--device",
    default=DEFAULT_DEVICE,
    show_default=True,
    metavar="D,...",
    help="The devices to predict for.",
    shell_complete=complete_device,
)
@click.option(
    "--interval", type=float, default=0.9, show_default=True, help="Confidence of the intervals."
)
@space_option
@accuracy_option
@foreign_option
@answers
@debug_option
def command(
    networks: tuple[str, ...],
    device: str,
    interval: float,
    space: str | None,
    *,
    accuracy: str,
    foreign: bool,
) -> Answer["Comparison"]:
    r"""Compare two networks or more: which is better, by how much, and is it settled?

    A RUN stands for its best network. The intervals know what two networks share: what the
    predictor says wrong of a unit, it says wrong of both.

    \b
    Example: repvit-nas compare results/iphone12-1.0ms repvit_m1_0
    """
    from repvit_nas.api.comparing import Comparison, best_of, compare

    found = [checked_architecture(str(best_of(name)), space) for name in networks]
    devices = [name.strip() for name in device.split(",")]
    comparison = compare(
        *found, device=devices, accuracy=accuracy, interval=interval, foreign=foreign
    )
    say_predictors(devices, foreign=foreign)
    return Answer(comparison, _show, Comparison.document)


def _show(comparison: "Comparison") -> None:
    meaning = f"Latency in ms; accuracy in points of {comparison.meaning}."
    show(*comparison.pairs(), meaning)
