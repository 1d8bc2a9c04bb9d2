"""`repvit-nas predict`: what a network costs on a device."""

from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.options import (
    architecture_argument,
    checked_architecture,
    debug_option,
    device_option,
    echo_json,
    foreign_option,
    json_option,
    outside_option,
    say_predictor,
    space_option,
)

if TYPE_CHECKING:
    from repvit_nas.predictors.lookup import Outside


@click.command("predict")
@architecture_argument
@device_option
@click.option(
    "--interval", type=float, default=0.9, show_default=True, help="Confidence of the interval."
)
@space_option
@foreign_option
@outside_option
@json_option
@debug_option
def command(
    arch: str,
    device: str,
    interval: float,
    space: str | None,
    *,
    foreign: bool,
    outside: "Outside",
    as_json: bool,
) -> None:
    r"""Predict the latency of ARCH on a device, with its interval.

    \b
    Example: repvit-nas predict repvit_m1_0 --device iphone12
    """
    from repvit_nas.predictors.predictor import load_predictor

    architecture = checked_architecture(arch, space)
    predictor, found = load_predictor(device, foreign=foreign, outside=outside)
    say_predictor(predictor, found)
    estimate = predictor.estimate(architecture, interval)
    if as_json:
        document: dict[str, Any] = {"architecture": architecture.name or arch}
        echo_json(document | estimate._asdict() | {"predictor": str(found)})
        return
    click.echo(
        f"{architecture.name or arch} on {device}: {estimate.latency_ms:.3f} ms "
        f"({estimate.interval:.0%} interval {estimate.low_ms:.3f} to {estimate.high_ms:.3f}), "
        f"{estimate.source}"
    )
