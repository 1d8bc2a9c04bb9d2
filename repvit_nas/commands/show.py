"""`repvit-nas show`: a network row by row."""

from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.options import (
    accuracy_option,
    architecture_argument,
    checked_architecture,
    console,
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


@click.command("show")
@architecture_argument
@device_option
@space_option
@accuracy_option
@foreign_option
@outside_option
@json_option
@debug_option
def command(
    arch: str,
    device: str,
    space: str | None,
    *,
    accuracy: str,
    foreign: bool,
    outside: "Outside",
    as_json: bool,
) -> None:
    r"""Show the rows of ARCH with MACs, parameters and milliseconds, and its estimated accuracy.

    \b
    Example: repvit-nas show results/iphone12-1.0ms:best
    """
    from repvit_nas.accuracy.trained import load_estimator
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.report.network import describe, network_table

    architecture = checked_architecture(arch, space)
    predictor, found = load_predictor(device, foreign=foreign, outside=outside)
    say_predictor(predictor, found)
    description = describe(architecture, predictor, load_estimator(accuracy))
    if as_json:
        import msgspec

        document: dict[str, Any] = msgspec.to_builtins(description)
        echo_json(document | {"predictor": str(found)})
        return
    screen = console()
    screen.print(network_table(description))
    screen.print(
        f"{description.latency_ms:.3f} ms on {device} ({description.interval:.0%} interval "
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
