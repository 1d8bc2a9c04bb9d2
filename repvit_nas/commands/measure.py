"""`repvit-nas measure`: time one whole network, and compare it with its prediction."""

from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.completion import complete_device
from repvit_nas.commands.console import note, progress_bar, tell
from repvit_nas.commands.options import (
    architecture_argument,
    debug_option,
    output_option,
    phone_options,
    resolution_option,
)
from repvit_nas.commands.runtime import check_minutes, check_options
from repvit_nas.commands.stopping import stoppable
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.architecture import OutputKind
    from repvit_nas.units import Network


@click.command("measure")
@architecture_argument
@click.option(
    "--device",
    required=True,
    help="A device that measure-lut measured here.",
    shell_complete=complete_device,
)
@click.option(
    "--minutes", type=float, help="Minutes of timing at most. [1; 10 on a Core ML device]"
)
@click.option(
    "--precision",
    type=float,
    default=0.005,
    show_default=True,
    help="Stop when half the 90 % interval is below this share.",
)
@resolution_option
@output_option
@phone_options
@answers
@debug_option
def command(
    arch: str,
    device: str,
    minutes: float | None,
    precision: float,
    *,
    resolution: int | None,
    output: "OutputKind | None",
    team: str,
    udid: str,
) -> Answer[dict[str, Any]]:
    r"""Time ARCH on a device of this machine, beside what its predictor says.

    The network is timed fused, by the same protocol and runtime as the device's table.

    \b
    Example: repvit-nas measure repvit_m0_9 --device cpu
    """
    from repvit_nas.named import load_network, shaped
    from repvit_nas.timing import (
        Access,
        measured_device,
        network_limits,
        time_on,
        timed_by_core_ml,
    )

    if minutes is not None:
        check_minutes(minutes)
    architecture = shaped(load_network(arch), output, resolution)
    known = measured_device(device)
    check_options(device, core_ml=timed_by_core_ml(known))
    limits = network_limits(known)
    limits = limits._replace(minutes=minutes or limits.minutes, precision=precision)
    with progress_bar() as bar, stoppable(bar) as progress:
        timed = time_on(
            known, [architecture], limits, progress, access=Access(team, udid), say=note
        )
    if timed.ran_off(architecture):
        note("advice: not all of it runs on the Neural Engine, which its prediction is for")
    if timed.slower:
        note(f"advice: {timed.slower}")
    row = timed.table.networks("held_out")[0]
    document: dict[str, Any] = {
        "architecture": architecture.name or arch,
        "device": device,
        "latency_ms": row.latency_ms,
        "low_ms": row.low_ms,
        "high_ms": row.high_ms,
        "interval": 0.9,
        "rounds": row.rounds,
        "source": "measured",
    } | _predicted(device, architecture, row.latency_ms)
    return Answer(document, _show)


def _show(document: dict[str, Any]) -> None:
    tell(
        f"{document['architecture']} on {document['device']}: {document['latency_ms']:.3f} ms (90 % "
        f"interval {document['low_ms']:.3f} to {document['high_ms']:.3f}), measured in "
        f"{document['rounds']} rounds"
    )
    if "predicted_ms" in document:
        tell(
            f"predicted {document['predicted_ms']:.3f} ms (90 % interval "
            f"{document['predicted_low_ms']:.3f} to {document['predicted_high_ms']:.3f}), "
            f"{document['predicted_source']}: off by {document['error_percent']:+.1f} %"
        )


def _predicted(device: str, architecture: "Network", measured_ms: float) -> dict[str, Any]:
    from repvit_nas.predictors.predictor import load_predictor

    try:
        predictor, _ = load_predictor(device)
    except RepvitNasError as error:
        note(f"no prediction: {error}")
        return {}
    estimate = predictor.estimate(architecture)
    return {
        "predicted_ms": estimate.latency_ms,
        "predicted_low_ms": estimate.low_ms,
        "predicted_high_ms": estimate.high_ms,
        "predicted_source": estimate.source,
        "error_percent": 100 * (estimate.latency_ms / measured_ms - 1),
    }
