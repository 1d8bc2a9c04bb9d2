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
    from repvit_nas.architecture import Architecture
    from repvit_nas.predictors.lookup import Outside


@click.command("predict")
@architecture_argument
@device_option
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
    arch: str,
    device: str,
    interval: float,
    space: str | None,
    *,
    accuracy: str | None,
    foreign: bool,
    outside: "Outside",
    as_json: bool,
) -> None:
    r"""Predict the latency of ARCH on a device, and with --accuracy how accurate it would be.

    \b
    Example: repvit-nas predict repvit_m1_0 --device iphone12
    """
    from repvit_nas.predictors.predictor import load_predictor

    architecture = checked_architecture(arch, space)
    predictor, found = load_predictor(device, foreign=foreign, outside=outside)
    say_predictor(predictor, found)
    estimate = predictor.estimate(architecture, interval)
    accurate = _accuracy(architecture, accuracy) if accuracy else {}
    if as_json:
        document: dict[str, Any] = {"architecture": architecture.name or arch}
        echo_json(document | estimate._asdict() | {"predictor": str(found)} | accurate)
        return
    click.echo(
        f"{architecture.name or arch} on {device}: {estimate.latency_ms:.3f} ms "
        f"({estimate.interval:.0%} interval {estimate.low_ms:.3f} to {estimate.high_ms:.3f}), "
        f"{estimate.source}"
    )
    if accurate:
        seen = accurate["observed"]
        click.echo(
            f"{accurate['accuracy_meaning']}: {accurate['accuracy']:.1f} ± "
            f"{accurate['accuracy_std']:.1f}"
            + ("" if seen is None else f"; {accurate['accuracy_source']}: {seen:.2f}")
        )


def _accuracy(architecture: "Architecture", name: str) -> dict[str, Any]:
    """Return what an estimator says of a network, and what was seen of it."""
    from repvit_nas.accuracy.estimator import meaning_at
    from repvit_nas.accuracy.trained import load_estimator
    from repvit_nas.shapes import shapes_of

    estimator = load_estimator(name)
    estimate = estimator.estimate(shapes_of([architecture]))
    seen = estimator.observed(architecture)
    return {
        "accuracy": float(estimate.mean[0]),
        "accuracy_std": float(estimate.std[0]),
        "accuracy_meaning": meaning_at(estimator, architecture.resolution),
        "accuracy_source": "estimated" if seen is None else seen.source,
        "observed": None if seen is None else seen.top1,
    }
