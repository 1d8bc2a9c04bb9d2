"""A campaign: train, fit, choose, train again; to be stopped and gone on with at any moment."""

import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas.accuracy import trained
from repvit_nas.campaign.board import Board, CampaignLimits, Claimed, FolderBoard, TaskLostError
from repvit_nas.campaign.opening import Campaign
from repvit_nas.campaign.planning import CampaignState
from repvit_nas.campaign.training import Workplace, train_task
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.place import Place
from repvit_nas.training.tasks import require_teacher
from repvit_nas.training.torchrun import train_by
from repvit_nas.words import Progress, Say

_POLL_S: Final = 2.0


class Worked(NamedTuple):
    """What a process did for a campaign.

    Attributes:
        reason: Why it ended.
        trainings: How many networks it trained.
        trained_s: Seconds of its trainings.
    """

    reason: str
    trainings: int
    trained_s: float


class CampaignOutcome(NamedTuple):
    """How a campaign ended.

    Attributes:
        folder: Of the estimator.
        state: What is trained.
        reason: Why it ended.
        fitted: What the observations say; None where they are too few.
        trained_s: Seconds of trainings of this process.
        seconds: Seconds of this process in all.
    """

    folder: Path
    state: CampaignState
    reason: str
    fitted: trained.PosteriorFile | None
    trained_s: float
    seconds: float


def epoch_seconds(workplace: Workplace, place: Place) -> float:
    """Train one epoch of the first network and throw it away; returns how long a training will take."""
    asked = workplace.training_of(workplace.first)
    recipe = msgspec.structs.replace(asked.recipe, epochs=1, warmup_epochs=0)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        train_by(
            msgspec.structs.replace(asked, recipe=recipe),
            Path(folder) / "probe",
            place,
            opened=workplace.opened,
        )
        seconds = time.monotonic() - began
    return seconds * asked.recipe.epochs


def run_campaign(
    campaign: Campaign,
    limits: CampaignLimits,
    place: Place | None = None,
    *,
    board: Board | None = None,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> CampaignOutcome:
    """Train networks until the campaign is settled or its limits are reached.

    Args:
        campaign: An open campaign.
        limits: When it ends at the latest.
        place: On what networks are trained.
        board: What gives out its trainings; its folder by default.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: The donor, or several networks one after the other, cannot be trained.
        FileError: Something cannot be written; what is trained stays.
    """
    began = time.monotonic()
    worked = work_on(
        board or FolderBoard(campaign, say),
        campaign.workplace,
        limits,
        place,
        say=say,
        progress=progress,
    )
    state = campaign.state()
    with campaign.locked():
        fitted = _fitted(campaign, state, say)
    return CampaignOutcome(
        campaign.folder,
        state,
        worked.reason,
        fitted,
        worked.trained_s,
        time.monotonic() - began,
    )


def work_on(
    board: Board,
    workplace: Workplace,
    limits: CampaignLimits,
    place: Place | None = None,
    *,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> Worked:
    """Train one network after the other, as the board gives them out, until there is no more.

    Args:
        board: What gives them out.
        workplace: What trains them here.
        limits: When this process ends at the latest.
        place: On what networks are trained.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: The donor, or several networks one after the other, cannot be trained; or the
            recipe's teacher is not here.
        FileError: Something cannot be written; what is trained stays.
    """
    place = place or Place()
    began = time.monotonic()
    trainings, trained_s, ready = 0, 0.0, False
    estimate: float | None = None
    if limits.hours is not None:
        estimate = board.longest() or epoch_seconds(workplace, place)
        fit_in = int(limits.hours * 3600 / estimate)
        say(f"about {fit_in} trainings of {estimate:,.0f} s fit into {limits.hours:g} hours")
    while True:
        step = board.step(limits)
        if isinstance(step, str):
            return Worked(step, trainings, trained_s)
        if step is None:  # the others are still at it
            time.sleep(_POLL_S)
            continue
        with step as claimed:
            left = None if limits.hours is None else limits.hours * 3600 - time.monotonic() + began
            if left is not None and estimate is not None and left < estimate:
                reason = f"the next training would end after the {limits.hours:g} hours"
                return Worked(reason, trainings, trained_s)
            if not ready:  # nobody is to fail one training after the other for want of it
                require_teacher(workplace.file.asked.recipe, len(workplace.file.classes))
                ready = True
            try:
                seconds = _train(claimed, workplace, place, say, progress)
            except TaskLostError:
                say(f"{claimed.task.name}: was given to another while this worker was out of reach")
                continue
            trainings += 1
            trained_s += seconds
            estimate = max(estimate or 0.0, seconds)


def _train(
    claimed: Claimed, workplace: Workplace, place: Place, say: Say, progress: Progress
) -> float:
    """Train one network, and bring back what it says; returns the seconds."""
    task = claimed.task
    began = time.monotonic()
    told = claimed.watched(lambda doing, done, of: progress(f"{claimed.place}, {doing}", done, of))
    claimed.bring()
    try:
        result = train_task(workplace, task, place, told)
    except FileError:
        raise  # the disk, not the network
    except RepvitNasError as error:
        say(f"{task.name}: left out: {error}")
        claimed.fail(str(error))
    else:
        claimed.tell(result)
    return time.monotonic() - began


def _fitted(campaign: Campaign, state: CampaignState, say: Say) -> trained.PosteriorFile | None:
    try:
        fitted = trained.fit(campaign.file.name, state.observations, campaign.folder)
    except RepvitNasError as error:
        say(str(error))
        return None
    trained.write(campaign.folder, fitted)
    return fitted
