"""`repvit-nas measure-accuracy`: learn which networks are accurate on the user's images."""

import contextlib
import os
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.artifacts import kept_in, open_store
from repvit_nas.commands.options import (
    artifacts_option,
    checkpoints_option,
    console,
    debug_option,
    foreign_option,
    note,
    parse_budgets,
    progress_bar,
    show,
    storage_option,
    wait_option,
)
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import RepvitNasError
from repvit_nas.storages import masked
from repvit_nas.words import number_of

if TYPE_CHECKING:
    from repvit_nas.campaign.finals import Finals
    from repvit_nas.campaign.opening import Campaign
    from repvit_nas.campaign.records import CampaignAsked
    from repvit_nas.campaign.run import CampaignOutcome
    from repvit_nas.training.recipe import Recipe
    from repvit_nas.training.spec import DataSpec

_MOST: Final = 2**63 - 2


@click.command("measure-accuracy")
@click.option("--name", help="What to call the estimator; the same name goes on.")
@click.option(
    "--data",
    required=True,
    metavar="digits|shapes|FOLDER|NAME",
    help="The images: in the box, a folder with train/ and val/, or timm's hfds/, wds/, torch/.",
)
@click.option(
    "--budget-ms",
    metavar="MS|DEVICE=MS,...",
    help="The most milliseconds a network may take, on --device or on each device named.",
)
@click.option(
    "--device", default=DEFAULT_DEVICE, show_default=True, help="The device of the budget."
)
@click.option(
    "--band",
    type=float,
    default=0.1,
    show_default=True,
    help="How far below the budget networks may be, as a share of it.",
)
@click.option(
    "--space", default="repvit", show_default=True, metavar="NAME|FILE", help="The search space."
)
@click.option("--networks", type=click.IntRange(min=2), default=24, show_default=True)
@click.option("--hours", type=float, help="Start no training that would end after so many hours.")
@click.option(
    "--held-out",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="Random networks that no fit sees, trained as well.",
)
@click.option("--recipe", metavar="NAME|FILE", help="How to train. [proxy; small with --finals]")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change the recipe.")
@click.option("--epochs", type=int, help="Passes over the images.")
@click.option(
    "--init",
    default="donor",
    show_default=True,
    metavar="donor|random|NAME|RUN",
    help="What trainings start from: the first network of the campaign, or another.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="ARCH",
    help="A network that is always trained. [the reference family]",
)
@click.option("--seed", type=click.IntRange(0, _MOST), default=0, show_default=True)
@click.option("--resolution", type=int, metavar="PX", help="Input side. [default: the space's]")
@click.option("--skip-bad-images", is_flag=True, help="Leave out images that cannot be read.")
@click.option("--train-images", type=click.IntRange(min=1), help="How many images of shapes.")
@click.option("--val-images", type=click.IntRange(min=1), help="How many to validate on.")
@click.option("--data-root", default="", help="Where timm keeps a data set it knows by name.")
@click.option("--on", default="auto", metavar="auto|cpu|cuda|mps", help="Where to train.")
@click.option("--amp", default="auto", metavar="auto|bf16|fp16|off", help="Half precision.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Trainings at a time; the cores are shared out among them.",
)
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read images.")
@click.option("--out", type=click.Path(), help="Folder of the trainings. [results/accuracy-NAME]")
@click.option("--finals", metavar="RUN", help="Train the winners of a search by a whole recipe.")
@click.option(
    "--seeds", type=click.IntRange(1, 20), default=3, show_default=True, help="Of finals."
)
@click.option("--winners", type=click.IntRange(1, 12), default=4, show_default=True)
@storage_option
@wait_option
@artifacts_option
@checkpoints_option
@click.option("--anyway", is_flag=True, help="Go on with too few validation images to tell much.")
@foreign_option
@answers
@debug_option
def command(
    *,
    name: str | None,
    networks: int,
    hours: float | None,
    finals: str | None,
    processes: int,
    anyway: bool,
    **given: Any,
) -> Answer[Any]:
    r"""Train networks of a latency band shortly, and learn which are accurate on these images.

    Networks are chosen by what they tell of the others, trained by one short recipe from inherited
    weights, and compared on the same images. The same command goes on after Ctrl-C or a crash, and
    several may work at one name at a time. What was learned goes into predictors/accuracy/NAME, and
    `search --accuracy NAME` takes it. --storage shares the trainings with other machines. --finals RUN trains the best networks of a search and the
    nearest references instead, by a whole recipe and with several seeds.

    \b
    Example: repvit-nas measure-accuracy --data photos --budget-ms 1.0 --name photos --hours 4
    """
    import torch

    from repvit_nas.campaign.board import CampaignLimits
    from repvit_nas.campaign.opening import open_campaign
    from repvit_nas.campaign.run import run_campaign
    from repvit_nas.campaign.study import open_study
    from repvit_nas.campaign.together import StudyBoard
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.training.run import Place

    if hours is not None and not 0 < hours < 1e5:
        raise RepvitNasError(f"--hours must be above 0; got {hours}")
    if processes > 1 and given["threads"] is None:
        given["threads"] = max(1, (os.cpu_count() or 1) // processes)
    if given["threads"] is not None:
        torch.set_num_threads(given["threads"])
    given["recipe"] = given["recipe"] or ("small" if finals else "proxy")
    if finals:
        return _finals(Path(finals), given)
    if name is None or given["budget_ms"] is None:
        raise RepvitNasError("a campaign needs --name and --budget-ms")
    store = open_store(given)
    with contextlib.ExitStack() as stack:
        study = None
        if given["storage"] is not None:
            sharing = Sharing(given["storage"], name, wait_s=given["wait"], say=note)
            study = stack.enter_context(open_study(sharing))
        campaign = open_campaign(
            name,
            _asked(given),
            command=shlex.join(["repvit-nas", *map(masked, _words())]),
            trainings=Path(given["out"]) if given["out"] else None,
            foreign=given["foreign"],
            anyway=anyway,
            agree=(lambda _: None) if study is None else study.agree,
            say=note,
        )
        board = None
        if study is not None:
            kept = kept_in(store, study, campaign.workplace, given)
            board = StudyBoard(study, campaign.workplace, campaign, note, kept)
        helpers = _helpers(processes, given["threads"])
        try:
            progress = stack.enter_context(progress_bar())
            outcome = run_campaign(
                campaign,
                CampaignLimits(networks, hours),
                Place(given["on"], given["workers"]),
                board=board,
                say=note,
                progress=progress,
            )
        finally:
            for helper in helpers:
                helper.wait()
    return Answer(outcome, partial(_show, campaign), partial(_document, campaign))


def _helpers(processes: int, threads: int | None) -> "list[subprocess.Popen[bytes]]":
    """Start further processes at the same campaign, each with its share of the cores."""
    words = [*_words(), "--processes", "1", "--threads", str(threads), "--json"]
    return [
        subprocess.Popen(  # noqa: S603  # this very program
            [sys.executable, "-m", "repvit_nas", *words], stdout=subprocess.DEVNULL
        )
        for _ in range(processes - 1)
    ]


def _finals(run: Path, given: dict[str, Any]) -> Answer["Finals"]:
    """Hold the finals of a search, and say whether its winner leads."""
    from repvit_nas.campaign.finals import FinalsWishes, hold_finals
    from repvit_nas.named import load_architecture
    from repvit_nas.training.run import Place, find_precision

    wishes = FinalsWishes(
        data=_data(given),
        recipe=_recipe(given),
        seeds=given["seeds"],
        winners=given["winners"],
        references=tuple(load_architecture(each) for each in given["references"]),
        precision=find_precision(given["amp"], given["on"]),
    )
    with progress_bar() as progress:
        found = hold_finals(
            run,
            wishes,
            Path(given["out"]) if given["out"] else run / "finals",
            Place(given["on"], given["workers"]),
            foreign=given["foreign"],
            command=shlex.join(["repvit-nas", *_words()]),
            say=note,
            progress=progress,
        )
    return Answer(found, _show_finals)


def _show_finals(found: "Finals") -> None:
    from repvit_nas.campaign.finals import sentence
    from repvit_nas.report.accuracy import finals_table

    show(finals_table(found))
    console().print(sentence(found))


def _data(given: dict[str, Any]) -> "DataSpec":
    from repvit_nas.training.spec import DataSpec

    return DataSpec(
        name=given["data"],
        root=given["data_root"],
        train_images=given["train_images"],
        val_images=given["val_images"],
        skip_bad_images=given["skip_bad_images"],
    )


def _recipe(given: dict[str, Any]) -> "Recipe":
    from repvit_nas.training.recipe import load_recipe, parse_changes

    changes = parse_changes(given["changes"])
    if given["epochs"] is not None:
        changes["epochs"] = given["epochs"]
    return load_recipe(given["recipe"], changes)


def _words() -> list[str]:
    return [word for word in sys.argv[1:] if word not in {"--json", "--debug"}]


def _asked(given: dict[str, Any]) -> "CampaignAsked":
    from repvit_nas.campaign.records import CampaignAsked
    from repvit_nas.named import load_architecture
    from repvit_nas.training.run import find_precision

    if not 0 < given["band"] < 1:
        raise RepvitNasError(f"--band must be above 0 and below 1; got {given['band']}")
    return CampaignAsked(
        data=_data(given),
        recipe=_recipe(given),
        recipe_name=Path(given["recipe"]).name.removesuffix(".toml"),
        space=given["space"],
        budgets_ms=parse_budgets(given["budget_ms"], given["device"]),
        band=given["band"],
        resolution=given["resolution"],
        references=tuple(load_architecture(each) for each in given["references"]),
        init=given["init"],
        held_out=given["held_out"],
        seed=given["seed"],
        precision=find_precision(given["amp"], given["on"]),
    )


def _document(campaign: "Campaign", outcome: "CampaignOutcome") -> object:
    from repvit_nas.campaign.validation import validation_of

    fitted, state = outcome.fitted, outcome.state
    return {
        "name": campaign.file.name,
        "folder": str(outcome.folder),
        "reason": outcome.reason,
        "trained": sorted(state.finished),
        "failed": state.failed,
        "left_open": [task.name for task in state.open],
        "networks": 0 if fitted is None else fitted.networks,
        "noise": None if fitted is None else fitted.noise,
        "misfit": None if fitted is None else fitted.misfit,
        "validation": validation_of(outcome.folder),
        "training_seconds": round(outcome.trained_s, 1),
        "seconds": round(outcome.seconds, 1),
    }


def _show(campaign: "Campaign", outcome: "CampaignOutcome") -> None:
    from repvit_nas.campaign.validation import validation_of
    from repvit_nas.report.accuracy import coverage_text, trained_table, validation_table

    state = outcome.state
    validation = validation_of(outcome.folder)
    screen = console()
    show(trained_table(state.observations))
    for failed, reason in state.failed.items():
        screen.print(f"Left out: {failed}: {reason}")
    if validation is not None:
        show(validation_table(validation))
        screen.print(coverage_text(validation))
    screen.print(f"Ended: {outcome.reason}.")
    if state.open:
        screen.print(f"{number_of(len(state.open), 'training')} left; the same command goes on.")
    if outcome.fitted is not None:
        budget = ",".join(f"{key}={ms:g}" for key, ms in campaign.file.asked.budgets_ms.items())
        screen.print(f"Written to {outcome.folder}; search by it with")
        screen.print(f"    repvit-nas search --budget-ms {budget} --accuracy {campaign.file.name}")
