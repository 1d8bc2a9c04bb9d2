"""`repvit-nas measure-lut`: time the blocks of the space on a device, fit and validate."""

from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit

from repvit_nas.commands import INTERRUPTED
from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.completion import complete_device
from repvit_nas.commands.console import note, progress_bar
from repvit_nas.commands.coreml import core_ml_device, export_programs, measure_device
from repvit_nas.commands.fitting import fitted
from repvit_nas.commands.options import any_placement_option, debug_option, phone_options
from repvit_nas.commands.runtime import (
    RUNTIME,
    check_minutes,
    check_options,
    runtime_options,
    runtime_spec,
)
from repvit_nas.commands.stopping import stoppable
from repvit_nas.commands.wishes import asked_limits, asked_wishes, wishes_options
from repvit_nas.folders import clock


@click.command("measure-lut")
@click.option(
    "--device",
    required=True,
    help="What to call the device, such as cpu.",
    shell_complete=complete_device,
)
@runtime_options
@wishes_options
@click.option("--title", default="", help="The name people use. [processor and runtime]")
@click.option(
    "--export",
    "export_to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="For a Core ML device: only write every program to time, with a manifest, to DIR.",
)
@phone_options
@any_placement_option
@answers
@debug_option
def command(
    *,
    device: str,
    title: str,
    export_to: Path | None,
    team: str,
    udid: str,
    any_placement: bool,
    **given: Any,
) -> Answer[Any]:
    r"""Time units and networks on this machine, fit a predictor, and say how far off it is.

    Writes latency_lut/<device>/ and predictors/<device>/. Whatever was timed is kept: after an
    interruption the same command goes on where it stopped. Networks that were held out of the fit
    are compared with its predictions at the end.

    \b
    Example: repvit-nas measure-lut --device cpu
             repvit-nas measure-lut --device cpu4 --threads 4
             repvit-nas measure-lut --device gpu --runtime torch
             repvit-nas measure-lut --device cpu-512 --output features --resolution 512
             repvit-nas measure-lut --device iphone12 --export programs
             repvit-nas measure-lut --device mac
    """
    from repvit_nas.latency_lut.device import load_device
    from repvit_nas.latency_lut.statistics import advice
    from repvit_nas.latency_lut.visits import hold
    from repvit_nas.measuring.campaign import first_plan, measure
    from repvit_nas.measuring.runners import open_runner
    from repvit_nas.measuring.session import Session, device_folder
    from repvit_nas.search_space.space import load_space

    check_minutes(given["minutes"])
    exporting = export_to is not None
    # A runtime says that something else is to time a device of that name; an export is Core ML's.
    phone = core_ml_device(device, None if exporting else given["runtime"], exporting=exporting)
    check_options(device, core_ml=phone is not None, exporting=exporting)
    space, found = load_space(given["space"])
    wishes = asked_wishes(given, core_ml=phone is not None)
    limits = asked_limits(given, core_ml=phone is not None)
    if phone is not None and export_to is not None:
        return export_programs(phone, export_to, space, wishes)
    if phone is not None:
        return measure_device(
            phone, space, wishes, limits, team=team, udid=udid, everywhere=any_placement
        )
    folder = device_folder(device)
    spec = runtime_spec(device, **{name: given[name] for name in RUNTIME})
    runner = open_runner(spec)
    note(f"space: {space.name}, from {found}; at most {limits.minutes:g} minutes of timing")
    first = first_plan(space, wishes)
    with hold(folder), clock(note):
        session = Session(folder, runner)
        claimed = session.claim(device, title, spec, first.resolution, first.output)
        note(f"device: {device}, {claimed.title}, into {folder}")
        plan = session.plan(first)
        try:
            with progress_bar() as bar, stoppable(bar) as progress:
                table = measure(
                    session,
                    plan,
                    space,
                    wishes,
                    limits=limits,
                    progress=progress,
                )
        except KeyboardInterrupt:
            note(
                f"stopped; {len(session.visits)} visits ({session.minutes:.1f} minutes) are kept in "
                f"{folder}: the same command goes on from there"
            )
            raise Exit(INTERRUPTED) from None
    note(
        f"statistic: {_quantile(table.statistic)} of a visit's calls, "
        f"{_quantile(table.across_rounds)} of {len(table.drift)} rounds, the steadiest of those tried"
        + (
            f"; the machine's pace, which moved by {table.pace:.1%}, is taken out"
            * bool(table.pace)
        )
    )
    warning = advice(table.noise_floor or 0.0, table.variation[str(table.statistic)])
    if warning:
        note(f"advice: {warning}")
    return fitted(load_device(device))


def _quantile(share: float) -> str:
    """Say which quantile it is."""
    return {0.0: "the minimum", 0.5: "the median"}.get(share, f"the {share:.0%} quantile")
