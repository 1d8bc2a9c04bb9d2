"""A campaign: train, fit, choose, train again; to be stopped and gone on with at any moment.

Several processes may work at one campaign, on one machine or on a folder that several share. What is
written is written under the folder's lock; a training belongs to the process that holds its lock, which
the system gives up when that process dies.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import filelock
import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.accuracy import trained
from repvit_nas.accuracy.observations import (
    RANDOM,
    AccuracyObservation,
    believed,
    binomial_sd,
)
from repvit_nas.accuracy.responses import read_losses
from repvit_nas.architecture import Architecture
from repvit_nas.campaign.opening import Campaign
from repvit_nas.campaign.planning import (
    CampaignState,
    candidates_of,
    first_tasks,
    learned_from,
    next_batch,
    verdict,
)
from repvit_nas.campaign.records import (
    DONOR,
    CampaignFile,
    Failure,
    Finished,
    TrainingTask,
)
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.search_space.family import family
from repvit_nas.training.place import Place
from repvit_nas.training.records import (
    LOSSES_FILE,
    TrainFile,
    is_training_run,
    read_training,
)
from repvit_nas.training.run import train
from repvit_nas.words import Progress, Say

LOSSES_FOLDER: Final = "losses"
# So many trainings that fail one after the other are no accident of their networks.
_FAILURES: Final = 3
_POLL_S: Final = 2.0


class CampaignLimits(NamedTuple):
    """When a campaign ends at the latest.

    Attributes:
        networks: How many different networks it trains, held-out ones not counted.
        hours: No training starts that would not be finished within so many hours.
    """

    networks: int = 24
    hours: float | None = None


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


def epoch_seconds(campaign: Campaign, place: Place) -> float:
    """Train one epoch of the donor and throw it away; returns how long a training will take."""
    asked = campaign.training_of(first_tasks(campaign.file)[0])
    recipe = msgspec.structs.replace(asked.recipe, epochs=1, warmup_epochs=0)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        train(
            msgspec.structs.replace(asked, recipe=recipe),
            Path(folder) / "probe",
            place,
            opened=campaign.opened,
        )
        seconds = time.monotonic() - began
    return seconds * asked.recipe.epochs


def run_campaign(
    campaign: Campaign,
    limits: CampaignLimits,
    place: Place | None = None,
    *,
    say: Say = lambda _: None,
    progress: Progress = lambda _, __, ___: None,
) -> CampaignOutcome:
    """Train networks until the campaign is settled or its limits are reached.

    Args:
        campaign: An open campaign.
        limits: When it ends at the latest.
        place: On what networks are trained.
        say: Told what the user should know.
        progress: Told what is being done, how far it is, and of how much.

    Raises:
        RepvitNasError: The donor, or several networks one after the other, cannot be trained.
        FileError: Something cannot be written; what is trained stays.
    """
    place = place or Place()
    began = time.monotonic()
    trained_s = 0.0
    estimate: float | None = None
    if limits.hours is not None:
        with contextlib.suppress(ValueError):
            estimate = max(campaign.state().finished.values())
        estimate = estimate or epoch_seconds(campaign, place)
        fit_in = int(limits.hours * 3600 / estimate)
        say(f"about {fit_in} trainings of {estimate:,.0f} s fit into {limits.hours:g} hours")
    reason = ""
    while True:
        step = _next_step(campaign, limits, say)
        if isinstance(step, str):
            reason = step
            break
        if step is None:  # the other processes are still at it
            time.sleep(_POLL_S)
            continue
        with step as task:
            left = None if limits.hours is None else limits.hours * 3600 - time.monotonic() + began
            if left is not None and estimate is not None and left < estimate:
                reason = f"the next training would end after the {limits.hours:g} hours"
                break
            seconds = _train(campaign, task, place, say, progress)
            trained_s += seconds
            estimate = max(estimate or 0.0, seconds)
    state = campaign.state()
    with campaign.locked():
        fitted = _fitted(campaign, state, say)
    return CampaignOutcome(
        campaign.folder, state, reason, fitted, trained_s, time.monotonic() - began
    )


def _next_step(
    campaign: Campaign, limits: CampaignLimits, say: Say
) -> "contextlib.AbstractContextManager[TrainingTask] | str | None":
    """Return the next training, claimed; why there is none; or None to wait for other processes."""
    with campaign.locked():
        campaign.tasks.mend()
        state = campaign.state()
        if not state.open:
            reason = _extend(campaign, state, limits, say)
            if reason:
                return reason
            state = campaign.state()
        for task in _ready(campaign, state):
            lock = _claim(campaign, task)
            if lock is not None:
                return _held(task, lock)
    return None


def _ready(campaign: Campaign, state: CampaignState) -> list[TrainingTask]:
    """Return the open trainings that can begin: what inherits waits for the donor."""
    donor = first_tasks(campaign.file)[0].name
    if donor in state.failed:
        raise RepvitNasError(
            f"the first network, {donor}, cannot be trained: {state.failed[donor]}; mend the recipe "
            "and give another --name"
        )
    waits = campaign.file.asked.init == DONOR and donor not in state.finished
    return [task for task in state.open if not (waits and task.inherits)]


def _claim(campaign: Campaign, task: TrainingTask) -> filelock.BaseFileLock | None:
    campaign.trainings.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(campaign.trainings / f".{task.name}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        return None
    return lock


@contextlib.contextmanager
def _held(task: TrainingTask, lock: filelock.BaseFileLock) -> Iterator[TrainingTask]:
    try:
        yield task
    finally:
        lock.release()


def _extend(campaign: Campaign, state: CampaignState, limits: CampaignLimits, say: Say) -> str:
    """Choose what comes next; returns why nothing does, if so."""
    file = campaign.file
    if not state.tasks:
        for task in first_tasks(file):
            campaign.tasks.append(task)
        return ""
    learned = learned_from(file, state, campaign.folder)
    candidates = candidates_of(campaign.band, campaign.predictors, learned, campaign.pool)
    found = verdict(learned, candidates, state.networks, limits.networks)
    most = state.networks if found.reason else limits.networks
    tasks = next_batch(file, state, learned, candidates, most)
    for task in tasks:
        campaign.tasks.append(task)
    if tasks:
        say(
            f"{len(state.finished)} trained; the best of the band is expected {found.regret:.2f} points "
            f"ahead of the one that seems best; next: {', '.join(task.name for task in tasks)}"
        )
        return ""
    return found.reason or "nothing is left to train"


def _train(
    campaign: Campaign, task: TrainingTask, place: Place, say: Say, progress: Progress
) -> float:
    """Train one network, and log what it says; returns the seconds."""
    folder = campaign.trainings / task.name
    state = campaign.state()
    place_in = f"{len(state.finished) + 1} of {len(state.tasks)}: {task.name}"
    began = time.monotonic()
    try:
        record = train(
            campaign.training_of(task),
            folder,
            place,
            opened=campaign.opened,
            command=campaign.file.command,
            resume=is_training_run(folder),
            progress=lambda doing, done, of: progress(f"{place_in}, {doing}", done, of),
        )
        said = believed(_observation(campaign, task, folder, record))
    except FileError:
        raise  # the disk, not the network
    except RepvitNasError as error:
        say(f"{task.name}: left out: {error}")
        with campaign.locked():
            campaign.tasks.append(Failure(task.name, str(error)))
            _refuse_many_failures(campaign)
        return time.monotonic() - began
    seconds = time.monotonic() - began
    with campaign.locked():
        campaign.observations.append([said])
        taken = record.outcome.seconds if record.outcome else seconds
        campaign.tasks.append(Finished(task.name, taken))
    return seconds


def _refuse_many_failures(campaign: Campaign) -> None:
    ended = [each for each in campaign.tasks.read() if not isinstance(each, TrainingTask)]
    last = ended[-_FAILURES:]
    if len(last) == _FAILURES and all(isinstance(each, Failure) for each in last):
        raise RepvitNasError(
            f"{_FAILURES} trainings failed one after the other, the last: "
            f"{last[-1].reason if isinstance(last[-1], Failure) else ''}; mend the cause and take "
            f"their lines out of {campaign.tasks.path} to try them again"
        )


def _observation(
    campaign: Campaign, task: TrainingTask, folder: Path, record: TrainFile
) -> AccuracyObservation:
    """Return what a finished training says."""
    outcome = record.outcome
    if outcome is None:
        raise RepvitNasError(f"{folder}: the training was not finished")
    losses = campaign.folder / LOSSES_FOLDER / f"{task.name}.npy"
    files.write_bytes(losses, files.read_bytes(folder / LOSSES_FILE))
    each = read_losses(losses)
    inherited = record.asked.init != RANDOM
    return AccuracyObservation(
        architecture=task.architecture,
        circumstances=campaign.circumstances,
        short=True,
        epochs=record.asked.recipe.epochs,
        seed=task.seed,
        start=campaign.file.asked.init if inherited else RANDOM,
        donor=_donor(campaign.file) if inherited else None,
        top1=outcome.top1,
        top1_sd=binomial_sd(outcome.top1, outcome.val_images),
        loss=outcome.loss,
        loss_sd=float(each.std() / np.sqrt(len(each))),
        images=outcome.val_images,
        losses=f"{LOSSES_FOLDER}/{losses.name}",
        held_out=task.role == "held out",
        origin="trained here",
        source=task.name,
    )


def _donor(file: CampaignFile) -> Architecture | None:
    """Return the network whose weights are inherited, where it is known."""
    init = file.asked.init
    if init == DONOR:
        return file.donor
    if is_training_run(Path(init)):
        donor = read_training(Path(init)).asked.architecture
        return donor if isinstance(donor, Architecture) else None
    found = family().get(init)
    return None if found is None else found.architecture


def _fitted(campaign: Campaign, state: CampaignState, say: Say) -> trained.PosteriorFile | None:
    try:
        fitted = trained.fit(campaign.file.name, state.observations, campaign.folder)
    except RepvitNasError as error:
        say(str(error))
        return None
    trained.write(campaign.folder, fitted)
    return fitted
