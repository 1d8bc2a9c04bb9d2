"""`repvit-nas search`: find networks under a millisecond budget."""

from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.arguments import parse_budgets
from repvit_nas.commands.completion import complete_sampler
from repvit_nas.commands.console import note, progress_bar, show
from repvit_nas.commands.options import (
    accuracy_option,
    budget_device_option,
    budget_option,
    debug_option,
    foreign_option,
    output_option,
    searched_space_option,
    study_options,
)
from repvit_nas.commands.resuming import AUTO, ResumingCommand
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.api.search import Search

IMPOSSIBLE: Final = 2


@click.command("search", cls=ResumingCommand)
@budget_option(required=True)
@budget_device_option
@searched_space_option
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
@study_options
@foreign_option
@answers
@debug_option
def command(
    *,
    budget_ms: str,
    device: str,
    out: str | None,
    resume: str | None,
    wait: float,
    timeout: float | None,
    **asked: Any,
) -> Answer["Search"]:
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
    if found.result.best is None:
        note(f"error: {found.why_none()}")
        return Answer(found, _show_nothing, _document, IMPOSSIBLE)
    return Answer(found, _show, _document)


def _document(found: "Search") -> object:
    import msgspec

    return msgspec.structs.asdict(found.result) | {
        "folder": str(found.folder) if found.folder else None,
        "seconds": found.seconds and round(found.seconds, 3),
        "unbound": found.run.unbound,
        "from": found.sources(),
    }


def _show_nothing(_: "Search") -> None:
    """Show no front that is beyond the limits; the error says how far."""


def _show(found: "Search") -> None:
    from repvit_nas.report.run_report import run_parts

    show(*run_parts(found.finding(), found.seconds or 0, found.folder))
