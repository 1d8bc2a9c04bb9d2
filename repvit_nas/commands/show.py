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
    load_predictors,
    outside_option,
    resolution_option,
    space_option,
)

if TYPE_CHECKING:
    from repvit_nas.predictors.lookup import Outside
    from repvit_nas.report.network import Description


@click.command("show")
@architectures_argument
@devices_option
@resolution_option
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
    from repvit_nas.accuracy.trained import load_estimator
    from repvit_nas.report.network import describe

    networks = [checked_architecture(arch, space, resolution) for arch in dict.fromkeys(archs)]
    loaded = load_predictors(devices, foreign=foreign, outside=outside)
    estimator = load_estimator(accuracy)
    found = [
        (describe(network, predictor, estimator), copy)
        for network in networks
        for predictor, copy in loaded
    ]
    if as_json:
        import msgspec

        echo_documents(
            [msgspec.to_builtins(described) | {"predictor": str(copy)} for described, copy in found]
        )
        return
    for described, _ in found:
        _show(described)


def _show(description: "Description") -> None:
    from repvit_nas.report.network import network_table

    screen = console()
    screen.print(network_table(description))
    screen.print(
        f"{description.latency_ms:.3f} ms on {description.device} ({description.interval:.0%} interval "
        f"{description.low_ms:.3f} to {description.high_ms:.3f}), {description.source}; "
        f"{description.overhead_ms:.3f} ms of it before any row"
    )
    screen.print(
        f"{description.accuracy_meaning}: {description.accuracy:.1f} ± {description.accuracy_std:.1f}"
        + (
            ""
            if description.observed is None
            else f"; {description.accuracy_source}: {description.observed:.2f}"
        )
    )
