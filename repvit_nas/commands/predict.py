"""`repvit-nas predict`: what networks cost on devices."""

from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.options import (
    architectures_argument,
    checked_architecture,
    console,
    debug_option,
    devices_option,
    echo_documents,
    foreign_option,
    json_option,
    load_predictors,
    outside_option,
    resolution_option,
    space_option,
)

if TYPE_CHECKING:
    from repvit_nas.architecture import Architecture
    from repvit_nas.predictors.lookup import Outside
    from repvit_nas.predictors.predictor import LatencyEstimate


@click.command("predict")
@architectures_argument
@devices_option
@resolution_option
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
    networks = {arch: checked_architecture(arch, space, resolution) for arch in archs}
    loaded = load_predictors(devices, foreign=foreign, outside=outside)
    accurate = {
        arch: _accuracy(network, accuracy) if accuracy else {} for arch, network in networks.items()
    }
    found = [
        (arch, predictor.estimate(network, interval), copy)
        for arch, network in networks.items()
        for predictor, copy in loaded
    ]
    if as_json:
        echo_documents(
            [
                {
                    "architecture": networks[arch].name or arch,
                    "resolution": networks[arch].resolution,
                }
                | estimate._asdict()
                | {"predictor": str(copy)}
                | accurate[arch]
                for arch, estimate, copy in found
            ]
        )
        return
    _show([(_named(arch, networks[arch]), estimate) for arch, estimate, _ in found])
    for arch, said in accurate.items():
        if said:
            named = f"{_named(arch, networks[arch])}: " if len(accurate) > 1 else ""
            click.echo(named + _accuracy_line(said))


def _named(arch: str, network: "Architecture") -> str:
    at = "" if network.resolution == 224 else f" at {network.resolution} px"
    return f"{network.name or arch}{at}"


def _show(found: "list[tuple[str, LatencyEstimate]]") -> None:
    """Print one estimate as a line, several as a table."""
    if len(found) == 1:
        ((name, estimate),) = found
        click.echo(
            f"{name} on {estimate.device}: {estimate.latency_ms:.3f} ms "
            f"({estimate.interval:.0%} interval {estimate.low_ms:.3f} to {estimate.high_ms:.3f}), "
            f"{estimate.source}"
        )
        return
    from rich.table import Table

    table = Table("network", "device", "ms", f"{found[0][1].interval:.0%} interval", "source")
    for name, estimate in found:
        table.add_row(
            name,
            estimate.device,
            f"{estimate.latency_ms:.3f}",
            f"{estimate.low_ms:.3f} to {estimate.high_ms:.3f}",
            estimate.source,
        )
    console().print(table)


def _accuracy_line(accurate: dict[str, Any]) -> str:
    seen = accurate["observed"]
    return (
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
