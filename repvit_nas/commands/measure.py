"""`repvit-nas measure`: time one whole network, and compare it with its prediction."""

import shutil
from typing import Any

import click

from repvit_nas.commands.coreml import (
    PHONE_MEASURE_MINUTES,
    elsewhere,
    known_device,
    minutes_for,
    phone_options,
)
from repvit_nas.commands.options import (
    architecture_argument,
    debug_option,
    echo_json,
    json_option,
    note,
    progress_bar,
)
from repvit_nas.commands.runtime import (
    check_minutes,
    check_options,
    measured_device,
    temporary_folder,
    timed_by_core_ml,
)
from repvit_nas.errors import RepvitNasError


@click.command("measure")
@architecture_argument
@click.option("--device", required=True, help="A device that measure-lut measured here.")
@click.option(
    "--minutes",
    type=float,
    default=1.0,
    show_default=True,
    help="Minutes of timing at most; 10 on a Core ML device.",
)
@click.option(
    "--precision",
    type=float,
    default=0.005,
    show_default=True,
    help="Stop when half the 90 % interval is below this share.",
)
@phone_options
@json_option
@debug_option
def command(
    arch: str,
    device: str,
    minutes: float,
    precision: float,
    *,
    team: str,
    udid: str,
    as_json: bool,
) -> None:
    r"""Time ARCH on a device of this machine, beside what its predictor says.

    The network is timed fused, by the same protocol and runtime as the device's table.

    \b
    Example: repvit-nas measure repvit_m0_9 --device cpu
    """
    from repvit_nas.latency_lut.table import TABLE_FILE, read_table, slower_now
    from repvit_nas.measuring.campaign import network_plan, time_networks
    from repvit_nas.measuring.session import Limits
    from repvit_nas.named import load_architecture
    from repvit_nas.programs import network

    check_minutes(minutes)
    architecture = load_architecture(arch)
    if not architecture.num_classes:
        raise RepvitNasError(f"{arch}: a backbone without classes cannot be timed; give it classes")
    known = measured_device(device)
    check_options(device, core_ml=timed_by_core_ml(known))
    minutes = minutes_for(known, minutes, PHONE_MEASURE_MINUTES)
    folder = temporary_folder()
    try:
        with known_device(known, folder, team=team, udid=udid) as session:
            then = read_table(known.path(TABLE_FILE))
            plan = network_plan([architecture], seed=0, sentinel_resolution=then.resolution)
            limits = Limits(minutes, precision)
            with progress_bar() as progress:
                table = time_networks(session, plan, limits, progress, then.chosen)
        off = elsewhere(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if network(architecture).key in off:
        note("advice: not all of it runs on the Neural Engine, which its prediction is for")
    changed = slower_now(then, table)
    if changed:
        note(f"advice: {changed}")
    row = table.networks("held_out")[0]
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
    if as_json:
        echo_json(document)
        return
    click.echo(
        f"{document['architecture']} on {device}: {row.latency_ms:.3f} ms (90 % interval "
        f"{row.low_ms:.3f} to {row.high_ms:.3f}), measured in {row.rounds} rounds"
    )
    if "predicted_ms" in document:
        click.echo(
            f"predicted {document['predicted_ms']:.3f} ms (90 % interval "
            f"{document['predicted_low_ms']:.3f} to {document['predicted_high_ms']:.3f}), "
            f"{document['predicted_source']}: off by {document['error_percent']:+.1f} %"
        )


def _predicted(device: str, architecture: Any, measured_ms: float) -> dict[str, Any]:
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
