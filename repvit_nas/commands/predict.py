"""`repvit-nas predict`: what networks cost on devices."""

from typing import TYPE_CHECKING, NamedTuple

import click

from repvit_nas.commands.answer import Answer, answers, one_or_list
from repvit_nas.commands.arguments import checked_architecture, say_predictors
from repvit_nas.commands.console import show, tell
from repvit_nas.commands.options import (
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

    from repvit_nas.api.accuracy import Accuracy
    from repvit_nas.api.latency import Latencies
    from repvit_nas.architecture import OutputKind
    from repvit_nas.predictors.lookup import Outside


class _Predicted(NamedTuple):
    """Networks on devices, network by network, and how accurate each would be, if that was asked."""

    latencies: "Latencies"
    accuracies: "Sequence[Accuracy]"


@click.command("predict")
@architectures_argument
@devices_option
@resolution_option
@output_option
@click.option(
    "--interval", type=float, default=0.9, show_default=True, help="Confidence of the interval."
)
@click.option(
    "--weights",
    type=int,
    default=16,
    show_default=True,
    metavar="8|6|4",
    help="Bits of a stored weight on a Core ML device; fewer than 16 are modelled.",
)
@space_option
@click.option("--accuracy", metavar="family|NAME", help="Estimate the accuracy by this as well.")
@foreign_option
@outside_option
@answers
@debug_option
def command(
    archs: tuple[str, ...],
    devices: tuple[str, ...],
    resolution: int | None,
    output: "OutputKind | None",
    interval: float,
    *,
    weights: int,
    space: str | None,
    accuracy: str | None,
    foreign: bool,
    outside: "Outside",
) -> Answer[_Predicted]:
    r"""Predict the latency of each ARCH on each device, and with --accuracy how accurate it would be.

    \b
    Example: repvit-nas predict repvit_m1_0 repvit_m1_1 --device iphone12 --device iphone13
    Example: repvit-nas predict repvit_m1_5 --weights 6
    """
    from repvit_nas.api.latency import predict

    networks = [
        checked_architecture(arch, space, resolution, output) for arch in dict.fromkeys(archs)
    ]
    where = [*dict.fromkeys(devices)]
    say_predictors(where, foreign=foreign, outside=outside)
    found = predict(
        networks, where, interval=interval, weights=weights, foreign=foreign, outside=outside
    )
    accurate: tuple[Accuracy, ...] = ()
    if accuracy:
        from repvit_nas.api.accuracy import estimate  # which takes its time to import

        accurate = tuple(estimate(networks, accuracy))
    return Answer(_Predicted(found, accurate), _show, _document)


def _show(predicted: _Predicted) -> None:
    latencies = predicted.latencies
    if len(latencies) == 1:
        tell(str(latencies))
    else:
        show(latencies.grid())
    for each in predicted.accuracies:
        tell(str(each))


def _document(predicted: _Predicted) -> object:
    latencies, accuracies = predicted
    documents = [each.document() for each in latencies]
    if accuracies:
        devices = len(latencies) // len(accuracies)
        said = [each.document() for each in accuracies for _ in range(devices)]
        documents = [one | more for one, more in zip(documents, said, strict=True)]
    return one_or_list(documents)
