"""`repvit-nas validate`: predicted against measured, on networks that the fit never saw."""

from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.completion import complete_device
from repvit_nas.commands.console import note, progress_bar, show
from repvit_nas.commands.fitting import show_validation
from repvit_nas.commands.options import (
    debug_option,
    drawn_space_option,
    output_option,
    phone_options,
)
from repvit_nas.commands.runtime import check_minutes, check_options
from repvit_nas.commands.stopping import stoppable
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.accuracy.held_out import AccuracyValidation
    from repvit_nas.architecture import OutputKind

# Of forty networks and the sentinel, for two rounds and more.
MINUTES: Final = 4.0
CORE_ML_MINUTES: Final = 60.0
PRECISION: Final = 0.003


@click.command("validate")
@click.option(
    "--device", help="A device that measure-lut measured here.", shell_complete=complete_device
)
@click.option("--accuracy", metavar="NAME", help="An estimator of measure-accuracy instead.")
@click.option(
    "--networks", type=int, default=40, show_default=True, help="Random networks to time."
)
@click.option(
    "--minutes", type=float, help="Minutes of timing at most. [4; 60 on a Core ML device]"
)
@click.option("--seed", type=int, default=1000, show_default=True, help="Of the networks drawn.")
@drawn_space_option
@click.option(
    "--isolated/--no-isolated",
    default=False,
    show_default=True,
    help="Also time their units alone, as a baseline.",
)
@output_option
@phone_options
@answers
@debug_option
def command(
    *,
    device: str | None,
    accuracy: str | None,
    networks: int,
    minutes: float | None,
    seed: int,
    space: str,
    isolated: bool,
    output: "OutputKind | None",
    team: str,
    udid: str,
) -> Answer[Any]:
    r"""Time new random networks and compare them with their predictions.

    The networks are others than those that measure-lut timed, and hand back what those do where
    --output says nothing else; nothing is written. How far off a modelled device is, fit says. With
    --accuracy nothing is trained: an estimator is compared with the networks that its campaign kept
    for that.

    \b
    Example: repvit-nas validate --device cpu
    """
    from repvit_nas.latency_lut.table import TABLE_FILE, read_table
    from repvit_nas.measuring.design import fresh_networks
    from repvit_nas.measuring.session import Limits
    from repvit_nas.predictors.held_out import evaluate_afresh
    from repvit_nas.predictors.predictor import load_predictor
    from repvit_nas.search_space.space import load_space
    from repvit_nas.timing import Access, measured_device, time_on, timed_by_core_ml

    if accuracy is not None and device is None:
        return _of_accuracy(accuracy)
    if device is None or accuracy is not None:
        raise RepvitNasError("validate takes either --device or --accuracy")
    if minutes is not None:
        check_minutes(minutes)
    if networks < 2:
        raise RepvitNasError(f"--networks must be 2 or more; got {networks}")
    known = measured_device(device)
    core_ml = timed_by_core_ml(known)
    check_options(device, core_ml=core_ml)
    predictor, found = load_predictor(device)
    note(f"predictor: {device}, from {found}")
    table = read_table(known.path(TABLE_FILE), device)
    searched, _ = load_space(space)
    fresh = fresh_networks(searched, networks, table, seed=seed, output=output or table.output)
    limits = Limits(minutes or (CORE_ML_MINUTES if core_ml else MINUTES), PRECISION)
    with progress_bar() as bar, stoppable(bar) as progress:
        timed = time_on(
            known,
            fresh,
            limits,
            progress,
            access=Access(team, udid),
            seed=seed,
            isolated=isolated,
            say=note,
        )
    if timed.off:
        note(f"{number_of(len(timed.off), 'program')} left out: not on the Neural Engine alone")
    if timed.slower:
        note(f"advice: {timed.slower}")
    evaluation = evaluate_afresh(known, predictor, table, timed.on_engine)
    return Answer(evaluation, show_validation)


def _of_accuracy(name: str) -> Answer["AccuracyValidation"]:
    """Compare an estimator of accuracy with the networks that no fit saw."""
    from repvit_nas.accuracy.trained import find
    from repvit_nas.campaign.validation import validation_of

    folder = find(name).path
    found = validation_of(folder)
    if found is None:
        raise RepvitNasError(
            f"{folder}: too few held-out networks are trained to validate on; measure-accuracy trains "
            "more of them with another --name and --held-out 24"
        )
    return Answer(found, _show_accuracy)


def _show_accuracy(found: "AccuracyValidation") -> None:
    from repvit_nas.report.accuracy import accuracy_validation_parts

    show(*accuracy_validation_parts(found))
