"""Where the trainings of a campaign are given out and what they say is brought back.

A campaign alone has its folder for that, which several processes may share: what is written is
written under the folder's lock; a training belongs to the process that holds its lock, which the
system gives up when that process dies. Several machines have a study: `together`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol

import filelock

from repvit_nas.campaign.opening import Campaign
from repvit_nas.campaign.planning import (
    CampaignState,
    candidates_of,
    first_tasks,
    learned_from,
    next_batch,
    verdict,
)
from repvit_nas.campaign.records import Failure, Planned, TrainingTask
from repvit_nas.campaign.training import Result, Workplace
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import Progress, Say

# So many trainings that fail one after the other are no accident of their networks.
_FAILURES: Final = 3


class TaskLostError(Exception):
    """A training was given to another worker while this one was out of reach."""


class CampaignLimits(NamedTuple):
    """When a campaign ends at the latest.

    Attributes:
        networks: How many different networks it trains, held-out ones not counted.
        hours: No training starts that would not be finished within so many hours.
    """

    networks: int = 24
    hours: float | None = None


class Claimed(Protocol):
    """A training that belongs to this process."""

    @property
    def task(self) -> TrainingTask:
        """The training."""

    @property
    def place(self) -> str:
        """Which of how many it is."""

    def bring(self) -> None:
        """Bring what it starts from, as far as others have kept that."""

    def watched(self, progress: Progress) -> Progress:
        """Return what is to be told of its progress."""

    def tell(self, result: Result) -> None:
        """Bring back what it says."""

    def fail(self, reason: str) -> None:
        """Leave it out."""


class Board(Protocol):
    """What gives out the trainings of a campaign."""

    def step(self, limits: CampaignLimits) -> AbstractContextManager[Claimed] | str | None:
        """Return the next training, claimed; why there is none; or None to wait for others.

        Raises:
            RepvitNasError: Nothing can be trained.
        """

    def longest(self) -> float | None:
        """Return the seconds of the longest training so far."""


class _Mine:
    """A training that this process has the lock of."""

    def __init__(self, campaign: Campaign, state: CampaignState, task: TrainingTask) -> None:
        self.task = task
        self.place = f"{len(state.finished) + 1} of {len(state.tasks)}: {task.name}"
        self._campaign = campaign

    def bring(self) -> None:
        """Bring nothing: all is in the folder."""

    def watched(self, progress: Progress) -> Progress:
        """Return what is to be told of its progress."""
        return progress

    def tell(self, result: Result) -> None:
        """Log what it says."""
        with self._campaign.locked():
            self._campaign.keep(self.task, result)

    def fail(self, reason: str) -> None:
        """Leave it out, and raise where too many others were."""
        with self._campaign.locked():
            self._campaign.tasks.append(Failure(self.task.name, reason))
            lines = self._campaign.tasks.read()
        refuse_many_failures(
            [each for each in lines if not isinstance(each, TrainingTask)],
            f"take their lines out of {self._campaign.tasks.path} to try them again",
        )


class FolderBoard:
    """The folder of a campaign: for the processes of one machine, or of one file system.

    Args:
        campaign: The campaign.
        say: Told what comes next.
    """

    def __init__(self, campaign: Campaign, say: Say) -> None:
        self._campaign = campaign
        self._say = say

    def longest(self) -> float | None:
        """Return the seconds of the longest training so far."""
        return max(self._campaign.state().finished.values(), default=None)

    def step(self, limits: CampaignLimits) -> AbstractContextManager[Claimed] | str | None:
        """Return the next training, claimed; why there is none; or None to wait for others."""
        campaign = self._campaign
        with campaign.locked():
            campaign.tasks.mend()
            state = campaign.state()
            if not state.open:
                planned = plan(campaign, state, limits.networks, self._say)
                for task in planned.tasks:
                    campaign.tasks.append(task)
                if planned.reason:
                    return planned.reason
                state = campaign.state()
            for task in ready(campaign.workplace, state):
                lock = campaign.workplace.lock_of(task)
                if lock is not None:
                    return _held(_Mine(campaign, state, task), lock)
        return None


@contextlib.contextmanager
def _held(claimed: Claimed, lock: filelock.BaseFileLock) -> Iterator[Claimed]:
    try:
        yield claimed
    finally:
        lock.release()


def ready(workplace: Workplace, state: CampaignState) -> list[TrainingTask]:
    """Return the open trainings that can begin: what inherits waits for the donor.

    Raises:
        RepvitNasError: The donor cannot be trained.
    """
    found = []
    for task in state.open:
        donor = workplace.donor_of(task)
        if donor is not None and donor.name in state.failed:
            raise RepvitNasError(
                f"the first network, {donor.name}, cannot be trained: {state.failed[donor.name]}; mend "
                "the recipe and give another --name"
            )
        if donor is None or donor.name in state.finished:
            found.append(task)
    return found


def plan(campaign: Campaign, state: CampaignState, networks: int, say: Say) -> Planned:
    """Choose what comes next, or say why nothing does.

    Args:
        campaign: The campaign.
        state: How far it is; nothing is open.
        networks: How many different networks it trains at most.
        say: Told what was chosen.
    """
    file = campaign.file
    if not state.tasks:
        return Planned(tuple(first_tasks(file)), "", networks)
    learned = learned_from(file, state, campaign.folder)
    candidates = candidates_of(campaign.band, campaign.predictors, learned, campaign.pool)
    found = verdict(learned, candidates, state.networks, networks)
    most = state.networks if found.reason else networks
    tasks = next_batch(file, state, learned, candidates, most)
    if not tasks:
        return Planned((), found.reason or "nothing is left to train", networks)
    say(
        f"{len(state.finished)} trained; the best of the band is expected {found.regret:.2f} points "
        f"ahead of the one that seems best; next: {', '.join(task.name for task in tasks)}"
    )
    return Planned(tuple(tasks), "", networks)


def refuse_many_failures(ended: Sequence[object], remedy: str) -> None:
    """Raise where the last trainings all failed.

    Args:
        ended: What ended, in order: failures, and others.
        remedy: How they are tried again.

    Raises:
        RepvitNasError: They did.
    """
    last = [each for each in ended[-_FAILURES:] if isinstance(each, Failure)]
    if len(last) == _FAILURES:
        raise RepvitNasError(
            f"{_FAILURES} trainings failed one after the other, the last: {last[-1].reason}; mend the "
            f"cause and {remedy}"
        )
