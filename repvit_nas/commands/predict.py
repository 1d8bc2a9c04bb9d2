"""`repvit-nas predict`: what networks cost on devices."""

from typing import TYPE_CHECKING

import click

from repvit_nas.commands.options import (
    architectures_argument,
    checked_architecture,
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
    tell,
)

if TYPE_CHECKING:
    from repvit_nas.architecture import OutputKind
    from repvit_nas.predictors.lookup import Outside


@click.command("predict")
@architectures_argument
@devices_option
@resolution_option
@output_option
@click.option(
    "--interval", type=float, default=0.9, show_default=True, help="Confidence of the interval."
)
@space_option
@click.option("--accuracy", metavar="family|NAME", help="Estimate the accuracy by this as well.")
@foreign_option
@outside_option
@json_option
@debug_option
def command(
    archs: tuple[str, ...],
    devices: tuple[str, ...],
    resolution: int | None,
    output: "OutputKind | None",
    interval: float,
    *,
    space: str | None,
    accuracy: str | None,
    foreign: bool,
    outside: "Outside",
    as_json: bool,
) -> None:
    r"""Predict the latency of each ARCH on each device, and with --accuracy how accurate it would be.

    \b
    Example: repvit-nas predict repvit_m1_0 repvit_m1_1 --device iphone12 --device iphone13
    """
    from repvit_nas.api.accuracy import estimate
    from repvit_nas.api.latency import predict

    networks = [
        checked_architecture(arch, space, resolution, output) for arch in dict.fromkeys(archs)
    ]
    where = [*dict.fromkeys(devices)]
    say_predictors(where, foreign=foreign, outside=outside)
    found = predict(networks, where, interval=interval, foreign=foreign, outside=outside)
    accurate = estimate(networks, accuracy) if accuracy else ()
    if as_json:
        said = [each.document() for each in accurate] or [{}] * len(networks)
        each_said = [one for one in said for _ in where]
        echo_documents([one.document() | more for one, more in zip(found, each_said, strict=True)])
        return
    if len(found) == 1:
        tell(str(found))
    else:
        show(found.grid())
    for each in accurate:
        tell(str(each))
