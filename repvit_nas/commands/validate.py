"""`repvit-nas validate`: predicted against measured, on networks that the fit never saw."""

import shutil

import click

from repvit_nas.commands.coreml import (
    PHONE_VALIDATE_MINUTES,
    elsewhere,
    known_device,
    minutes_for,
    phone_options,
)
from repvit_nas.commands.fitting import show_validation
from repvit_nas.commands.options import debug_option, json_option, note, progress_bar
from repvit_nas.commands.runtime import (
    check_minutes,
    check_options,
    measured_device,
    temporary_folder,
    timed_by_core_ml,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of


@click.command("validate")
@click.option("--device", required=True, help="A device that measure-lut measured here.")
@click.option(
    "--networks", type=int, default=40, show_default=True, help="Random networks to time."
)
@click.option(
    "--minutes",
    type=float,
    default=4.0,
    show_default=True,
    help="Minutes of timing at most; 60 on a Core ML device.",
)
@click.option("--seed", type=int, default=1000, show_default=True, help="Of the networks drawn.")
@click.option("--space", default="repvit", show_default=True, metavar="NAME|FILE")
@click.option(
    "--isolated/--no-isolated",
    default=False,
    show_default=True,
    help="Also time their units alone, as a baseline.",
)
@phone_options
@json_option
@debug_option
def command(
    *,
    device: str,
    networks: int,
    minutes: float,
    seed: int,
    space: str,
    isolated: bool,
    team: str,
    udid: str,
    as_json: bool,
) -> None:
    r"""Time new random networks and compare them with their predictions.

    The networks are others than those that measure-lut timed; nothing is written. How far off a
    modelled device is, fit says.

    \b
    Example: repvit-nas validate --device cpu
    """
    from repvit_nas.latency_lut.placement import without_networks
    from repvit_nas.latency_lut.table import TABLE_FILE, read_table, slower_now
    from repvit_nas.measuring.campaign import network_plan, time_networks
    from repvit_nas.measuring.design import random_networks
    from repvit_nas.measuring.session import Limits
    from repvit_nas.predictors.held_out import evaluate_afresh
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space.space import load_space

    check_minutes(minutes)
    if networks < 2:
        raise RepvitNasError(f"--networks must be 2 or more; got {networks}")
    known = measured_device(device)
    check_options(device, core_ml=timed_by_core_ml(known))
    minutes = minutes_for(known, minutes, PHONE_VALIDATE_MINUTES)
    predictor, found = load_predictor(device)
    note(f"predictor: {device}, from {found}")
    table = read_table(known.path(TABLE_FILE))
    searched, _ = load_space(space)
    seen = {
        row.architecture.stages
        for role in ("calibration", "held_out")
        for row in table.networks(role)
    }
    drawn = random_networks(
        searched, networks + len(seen), seed=seed, resolution=table.resolution, fewer=True
    )
    fresh = [network for network in drawn if network.stages not in seen][:networks]
    if len(fresh) < networks:
        raise RepvitNasError(
            f"space {searched.name!r} has only {number_of(len(fresh), 'network')} that measure-lut did "
            f"not time; --networks asks for {networks}"
        )
    folder = temporary_folder()
    try:
        with known_device(known, folder, team=team, udid=udid) as session:
            plan = network_plan(fresh, seed=seed, isolated=isolated)
            with progress_bar() as progress:
                timed = time_networks(session, plan, Limits(minutes, 0.003), progress, table.chosen)
        off = elsewhere(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if off:
        note(f"{number_of(len(off), 'program')} left out: not on the Neural Engine alone")
        timed = without_networks(timed, off)
    changed = slower_now(table, timed)
    if changed:
        note(f"advice: {changed}")
    evaluation = evaluate_afresh(known, predictor, table, timed)
    show_validation(evaluation, as_json=as_json)
