"""`repvit-nas search`: find networks under a millisecond budget."""

from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.commands.completion import complete_device, complete_sampler, complete_space
from repvit_nas.commands.options import (
    AUTO,
    ResumingCommand,
    accuracy_option,
    console,
    debug_option,
    echo_json,
    foreign_option,
    json_option,
    note,
    output_option,
    parse_budgets,
    progress_bar,
    show,
    storage_option,
    wait_option,
)
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.api.search import Search

IMPOSSIBLE: Final = 2


@click.command("search", cls=ResumingCommand)
@click.option(
    "--budget-ms",
    required=True,
    metavar="MS|DEVICE=MS,...",
    help="The most milliseconds a network may take, on --device or on each device named.",
)
@click.option(
    "--device",
    default=DEFAULT_DEVICE,
    show_default=True,
    help="The device of the budget.",
    shell_complete=complete_device,
)
@click.option(
    "--space",
    default="repvit",
    show_default=True,
    metavar="NAME|FILE",
    help="The search space: repvit, coarse, or a space file.",
    shell_complete=complete_space,
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
    shell_complete=complete_sampler,
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
    help="Input side. [the space's, or that of --accuracy; 1024 for sam]",
)
@output_option
@click.option(
    "--num-classes",
    type=int,
    metavar="N",
    help="Outputs of the classifier. [1000, or those of --accuracy]",
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
    resume: str | None,
    wait: float,
    as_json: bool,
    timeout: float | None,
    **asked: Any,
) -> int:
    r"""Find the Pareto front of accuracy against latency under a budget.

    Prints the best network at each level of the budget beside the reference family, and leaves
    the front, its picture, the winners as architecture files, and how to repeat the run in a
    folder under results/.

    \b
    Example: repvit-nas search --budget-ms 1.0
    """
    from repvit_nas.api.search import search, usual_folder

    budgets = parse_budgets(budget_ms, device)
    if out == "":
        raise RepvitNasError("--out must name a folder; got ''")
    with progress_bar() as progress:
        found = search(
            budgets,
            out=usual_folder(budgets, **asked) if out is None else out,
            say=note,
            resume=AUTO if resume == AUTO else resume is not None,
            wait_s=wait,
            progress=progress,
            timeout_s=timeout,
            **asked,
        )
    if as_json:
        echo_json(_document(found))
    elif found.result.best is not None:
        _show(found)
    if found.result.best is None:
        note(f"error: {found.why_none()}")
        return IMPOSSIBLE
    return 0


def _document(found: "Search") -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(found.result)
    return document | {
        "folder": str(found.folder) if found.folder else None,
        "seconds": found.seconds and round(found.seconds, 3),
        "unbound": found.run.unbound,
        "from": found.sources(),
    }


def _show(found: "Search") -> None:
    from repvit_nas.report.run_report import disputes, run_tables, stand_in, unbound_budgets

    result, screen = found.result, console()
    for grid in run_tables(found.finding()):
        show(grid)
    for line in (*unbound_budgets(found.run), *disputes(result)):
        screen.print(line)
    screen.print(f"Accuracy: {result.accuracy_meaning}, ± one standard deviation.")
    for line in stand_in(found.run.settings.output):
        screen.print(line)
    screen.print(
        f"{number_of(len(result.front), 'network')} on the front; {number_of(result.trials, 'trial', grouped=True)}, "
        f"{result.evaluations:,} different, {found.seconds or 0:.1f} s."
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
    screen.print(f"Written to {found.folder}; load the best with")
    screen.print(f'    repvit_nas.load("{found.folder}:best")')
