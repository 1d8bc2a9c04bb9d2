"""What `measure-accuracy` does with its options: run a campaign, with helpers if that is asked."""

import contextlib
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repvit_nas.commands.answer import Answer
from repvit_nas.commands.arguments import own_words, parse_budgets, repeated
from repvit_nas.commands.artifacts import kept_in, open_store
from repvit_nas.commands.console import note, progress_bar, show
from repvit_nas.commands.stopping import stoppable
from repvit_nas.commands.training_options import asked_data, asked_recipe
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.campaign.board import CampaignLimits
    from repvit_nas.campaign.opening import Campaign
    from repvit_nas.campaign.records import CampaignAsked
    from repvit_nas.campaign.run import CampaignOutcome


def ran_campaign(
    name: str, limits: "CampaignLimits", given: Mapping[str, Any], *, processes: int, anyway: bool
) -> Answer["CampaignOutcome"]:
    """Run a campaign, or go on with it, and answer how it ended.

    Args:
        name: The estimator.
        limits: When it ends at the latest.
        given: The other options of the command.
        processes: How many work at it, this one among them.
        anyway: Go on with too few validation images to tell much.
    """
    from repvit_nas.campaign.opening import open_campaign
    from repvit_nas.campaign.run import run_campaign
    from repvit_nas.campaign.study import open_study
    from repvit_nas.campaign.together import StudyBoard
    from repvit_nas.searching.shared import Sharing
    from repvit_nas.training.place import Place

    store = open_store(given)
    with contextlib.ExitStack() as stack:
        study = None
        if given["storage"] is not None:
            sharing = Sharing(given["storage"], name, wait_s=given["wait"], say=note)
            study = stack.enter_context(open_study(sharing))
        campaign = open_campaign(
            name,
            _asked(given),
            command=repeated(),
            trainings=Path(given["out"]) if given["out"] else None,
            foreign=given["foreign"],
            anyway=anyway,
            agree=(lambda _: None) if study is None else study.agree,
            say=note,
        )
        workplace = campaign.workplace = campaign.workplace.by(given["nproc"], given["on"])
        board = None
        if study is not None:
            kept = None
            if store is not None:
                kept = kept_in(store, study, workplace, given)
            board = StudyBoard(study, workplace, campaign, note, kept)
        helpers = _helpers(processes, given["threads"])
        try:
            progress = stack.enter_context(stoppable(stack.enter_context(progress_bar())))
            outcome = run_campaign(
                campaign,
                limits,
                Place(given["on"], given["workers"]),
                board=board,
                say=note,
                progress=progress,
            )
        except KeyboardInterrupt:
            for helper in helpers:
                helper.terminate()  # `kill` stopped this process alone
            raise
        finally:
            for helper in helpers:
                helper.wait()
    return Answer(outcome, partial(_show, campaign), partial(_document, campaign))


def _asked(given: Mapping[str, Any]) -> "CampaignAsked":
    from repvit_nas.campaign.records import CampaignAsked
    from repvit_nas.named import load_architecture
    from repvit_nas.training.place import find_precision

    if not 0 < given["band"] < 1:
        raise RepvitNasError(f"--band must be above 0 and below 1; got {given['band']}")
    return CampaignAsked(
        data=asked_data(given),
        recipe=asked_recipe(given["recipe"], given),
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


def _helpers(processes: int, threads: int | None) -> "list[subprocess.Popen[bytes]]":
    """Start further processes at the same campaign, each with its share of the cores."""
    words = [*own_words(), "--processes", "1", "--threads", str(threads), "--json"]
    return [
        subprocess.Popen(  # noqa: S603  # this very program
            [sys.executable, "-m", "repvit_nas", *words], stdout=subprocess.DEVNULL
        )
        for _ in range(processes - 1)
    ]


def _show(campaign: "Campaign", outcome: "CampaignOutcome") -> None:
    from repvit_nas.campaign.validation import validation_of
    from repvit_nas.report.accuracy import campaign_parts

    show(*campaign_parts(campaign, outcome, validation_of(outcome.folder)))


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
