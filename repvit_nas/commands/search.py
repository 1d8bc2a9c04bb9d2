"""`repvit-nas search`: find networks under a millisecond budget."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.commands.options import (
    AUTO,
    DEFAULT_DEVICE,
    ResumingCommand,
    accuracy_option,
    console,
    debug_option,
    echo_json,
    foreign_option,
    json_option,
    note,
    parse_budgets,
    progress_bar,
    say_predictor,
    storage_option,
    wait_option,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.searching.inputs import Inputs
    from repvit_nas.searching.run import Outcome
    from repvit_nas.searching.settings import Settings

IMPOSSIBLE: Final = 2
# How many trials of a sampler that learns from every single one take minutes.
SLOW: Final = {"gp": 100, "tpe": 5000}


@click.command("search", cls=ResumingCommand)
@click.option(
    "--budget-ms",
    required=True,
    metavar="MS|DEVICE=MS,...",
    help="The most milliseconds a network may take, on --device or on each device named.",
)
@click.option(
    "--device", default=DEFAULT_DEVICE, show_default=True, help="The device of the budget."
)
@click.option(
    "--space",
    default="repvit",
    show_default=True,
    metavar="NAME|FILE",
    help="The search space: repvit, coarse, or a space file.",
)
@click.option("--out", type=click.Path(), help="Folder of the run. [results/...]")
@click.option(
    "--trials", type=int, default=2000, show_default=True, help="Networks Optuna proposes."
)
@click.option(
    "--timeout", type=float, metavar="S", help="Stop after this many seconds, improvement included."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same front.")
@click.option(
    "--sampler",
    default="nsga2",
    show_default=True,
    metavar="nsga2|tpe|gp|random",
    help="Optuna's sampler.",
)
@click.option(
    "--risk",
    type=float,
    default=1.0,
    show_default=True,
    help="Count accuracy less this many standard deviations.",
)
@click.option(
    "--confidence",
    type=float,
    help="Keep the upper end of the latency's interval at this confidence within the budget.",
)
@accuracy_option
@click.option(
    "--resolution",
    type=int,
    metavar="PX",
    help="Input side. [the space's, or that of --accuracy]",
)
@click.option(
    "--num-classes",
    type=int,
    metavar="N",
    help="Outputs of the classifier; 0 searches backbones. [1000, or those of --accuracy]",
)
@click.option("--max-params-m", type=float, metavar="M", help="Most parameters, in millions.")
@click.option("--max-macs-g", type=float, metavar="G", help="Most MACs, in thousand millions.")
@click.option("--max-size-mb", type=float, metavar="MB", help="Most megabytes of fp16 weights.")
@click.option(
    "--resume",
    type=click.Choice(["yes", AUTO]),
    metavar="[auto]",
    help="Go on with an unfinished run, add trials to it, or join a shared study; auto: or start it.",
)
@click.option("--overwrite", is_flag=True, help="Replace another run in the folder.")
@storage_option
@wait_option
@click.option(
    "--study-name", default="repvit-nas", show_default=True, help="The study's name in --storage."
)
@foreign_option
@json_option
@debug_option
def command(
    *,
    budget_ms: str,
    device: str,
    out: str | None,
    timeout: float | None,
    foreign: bool,
    resume: str | None,
    overwrite: bool,
    storage: str | None,
    study_name: str,
    wait: float,
    as_json: bool,
    **asked: Any,
) -> int:
    r"""Find the Pareto front of accuracy against latency under a budget.

    Prints the best network at each level of the budget beside the reference family, and leaves
    the front, its picture, the winners as architecture files, and how to repeat the run in a
    folder under results/.

    \b
    Example: repvit-nas search --budget-ms 1.0
    """
    from repvit_nas.report.run_report import render
    from repvit_nas.searching.inputs import input_of, load_inputs
    from repvit_nas.searching.run import search
    from repvit_nas.searching.settings import Settings, default_folder
    from repvit_nas.searching.shared import Sharing

    asked["resolution"], asked["num_classes"] = input_of(
        asked["accuracy"], asked["resolution"], asked["num_classes"]
    )
    settings = Settings(budgets_ms=parse_budgets(budget_ms, device), **asked)
    if timeout is not None and not timeout > 0:
        raise RepvitNasError(f"--timeout must be above 0 seconds; got {timeout}")
    if out == "":
        raise RepvitNasError("--out must name a folder; got ''")
    inputs = load_inputs(settings, foreign=foreign)
    _say_inputs(inputs, settings)
    folder = Path(out) if out else Path("results") / default_folder(settings)
    with progress_bar() as progress:
        outcome = search(
            settings,
            inputs,
            folder,
            render,
            command=_command_line(settings, out),
            resume=AUTO if resume == AUTO else resume is not None,
            overwrite=overwrite,
            sharing=None if storage is None else Sharing(storage, study_name, wait, note),
            timeout_s=timeout,
            progress=progress,
        )
    if as_json:
        echo_json(_document(outcome))
    elif outcome.result.best is not None:
        _show(outcome)
    if outcome.result.best is None:
        note(f"error: {_missed(outcome, settings)}")
        return IMPOSSIBLE
    return 0


def _say_inputs(inputs: "Inputs", settings: "Settings") -> None:
    space = inputs.space
    note(f"space: {space.name}, {space.size:.3g} networks, from {inputs.space_found}")
    for device in inputs.devices:
        say_predictor(device.predictor, device.found)
    note(f"accuracy: {inputs.estimator.name}, from {inputs.accuracy_found}")
    slow = SLOW.get(settings.sampler, settings.trials)
    if settings.trials > slow:
        note(
            f"sampler {settings.sampler} thinks longer at every trial: {settings.trials:,} trials "
            f"may take {'days' if settings.sampler == 'gp' else 'hours'}; local improvement needs "
            f"few, so give --trials {slow}, or a --timeout"
        )


def _command_line(settings: "Settings", out: str | None) -> str:
    """Return the command that repeats the search; what is as by default is left out."""
    import shlex

    from repvit_nas.searching.settings import Settings

    budgets = ",".join(f"{device}={ms}" for device, ms in settings.budgets_ms.items())
    words = ["repvit-nas", "search", "--budget-ms", budgets]
    if list(settings.budgets_ms) == [DEFAULT_DEVICE]:
        words[-1] = str(settings.budgets_ms[DEFAULT_DEVICE])
    defaults = Settings(budgets_ms=settings.budgets_ms)
    for field in settings.__struct_fields__:
        value = getattr(settings, field)
        if field != "budgets_ms" and value != getattr(defaults, field):
            words += [f"--{field.replace('_', '-')}", str(value)]
    return shlex.join(words + (["--out", out] if out else []))


def _document(outcome: "Outcome") -> dict[str, Any]:
    import msgspec

    inputs = outcome.finding.inputs
    document: dict[str, Any] = msgspec.to_builtins(outcome.result)
    return document | {
        "folder": str(outcome.folder) if outcome.folder else None,
        "seconds": round(outcome.seconds, 3),
        "unbound": outcome.finding.run.unbound,
        "from": {
            "space": str(inputs.space_found),
            "predictors": {each.predictor.device: str(each.found) for each in inputs.devices},
            "accuracy": str(inputs.accuracy_found),
        },
    }


def _missed(outcome: "Outcome", settings: "Settings") -> str:
    from repvit_nas.architecture import shape_text

    nearest = shape_text(outcome.result.front[0].architecture)
    return (
        f"no network of space {settings.space!r} keeps what was asked; the nearest, {nearest}: "
        f"{'; '.join(outcome.missed)}"
    )


def _show(outcome: "Outcome") -> None:
    from repvit_nas.report.run_report import disputes, run_tables, unbound_budgets

    result = outcome.result
    screen = console()
    for table in run_tables(outcome.finding):
        screen.print(table)
    for line in (*unbound_budgets(outcome.finding.run), *disputes(result)):
        screen.print(line)
    screen.print(f"Accuracy: {result.accuracy_meaning}, ± one standard deviation.")
    screen.print(
        f"{number_of(len(result.front), 'network')} on the front; {number_of(result.trials, 'trial', grouped=True)}, "
        f"{result.evaluations:,} different, {outcome.seconds:.1f} s."
    )
    if result.exact_share is not None and result.exact_optuna_share is not None:
        screen.print(
            f"Share of the exact hypervolume: {result.exact_share:.3%} "
            f"(Optuna alone {result.exact_optuna_share:.2%})."
        )
    elif result.optuna_share is not None:
        screen.print(
            f"Optuna alone reached {result.optuna_share:.1%} of the front's hypervolume; local "
            "improvement the rest."
        )
    screen.print(f"Written to {outcome.folder}; load the best with")
    screen.print(f'    repvit_nas.load("{outcome.folder}:best")')
