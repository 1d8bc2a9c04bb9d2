"""A study as what gives out a campaign's trainings: for workers on as many machines as there are."""

import contextlib
import functools
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

import filelock
import msgspec

from repvit_nas.campaign.artifacts import Artifacts, has_checkpoint
from repvit_nas.campaign.board import (
    CampaignLimits,
    Claimed,
    TaskLostError,
    plan,
    ready,
    refuse_many_failures,
)
from repvit_nas.campaign.opening import Campaign
from repvit_nas.campaign.records import Failure, Planned, RunsFile, TrainingTask
from repvit_nas.campaign.study import CampaignStudy
from repvit_nas.campaign.training import Result, Workplace
from repvit_nas.campaign.trial import BEAT
from repvit_nas.campaign.tries import ALL_MADE, Beat, PlanTask, Tries, Try
from repvit_nas.errors import RepvitNasError
from repvit_nas.storages import was_finished
from repvit_nas.words import Progress, Say, printable

# So many signs of life are given in the time after which a worker is taken for gone.
_BEATS: Final = 6


def worker_name() -> str:
    """Return what a worker is called: its machine and its process."""
    return f"{printable(platform.node()) or 'a machine'}, process {os.getpid()}"


class _Keeping(NamedTuple):
    """What keeps the files of a training."""

    artifacts: Artifacts
    folder: Path

    def checkpoint(self, one: Try) -> None:
        """Keep the last checkpoint, if that is wished and there is one."""
        if self.artifacts.checkpoints and has_checkpoint(self.folder):
            self.artifacts.keep_checkpoint(one, self.folder)

    def training(self, one: Try) -> None:
        """Keep log and weights."""
        self.artifacts.keep(one, self.folder)


class _Held:
    """A try that this worker has claimed; a thread gives signs of life."""

    def __init__(
        self,
        study: CampaignStudy,
        one: Try,
        place: str = "",
        bring: Callable[[], None] = lambda: None,
        keeping: _Keeping | None = None,
    ) -> None:
        self.bring = bring
        self.place = place
        self._keeping = keeping
        self.told = False
        self._study = study
        self._try = one
        self._beat = Beat(0)
        self._began = time.monotonic()
        self._lost = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def task(self) -> TrainingTask:
        """The training."""
        task = self._try.task
        if not isinstance(task, TrainingTask):
            raise TypeError(f"{task.name} is no training")
        return task

    def _live(self) -> None:
        """Give a sign of life now and then; whatever goes wrong with one, the next may arrive."""
        study, count = self._study, 0
        while not self._end.wait(study.sharing.stale_s / _BEATS):
            count += 1
            seconds = round(time.monotonic() - self._began, 1)
            beat = msgspec.structs.replace(self._beat, count=count, seconds=seconds)
            document = msgspec.to_builtins(beat)
            try:
                study.storage.set_trial_user_attr(self._try.trial_id, BEAT, document)
            except Exception as error:  # noqa: BLE001  # storages raise whatever they like
                if was_finished(error):
                    self._lost = True
                    return

    def watched(self, progress: Progress) -> Progress:
        """Return what is to be told of the training's progress; it raises where the task is lost."""

        def told(doing: str, done: int, of: int) -> None:
            if self._lost:
                raise TaskLostError
            if self._keeping is not None and doing != self._beat.doing:
                self._keeping.checkpoint(self._try)
            self._beat = Beat(0, doing[:200], done, of)
            progress(doing, done, of)

        return told

    def close(self) -> None:
        """Give no further signs, and give the task back where nothing was told."""
        self._end.set()
        self._thread.join()
        if not self.told and not self._lost:
            self._study.give_back(self._try)

    def tell(self, result: Result) -> None:
        """Bring back what the training says."""
        if self._keeping is not None:
            self._keeping.training(self._try)
        self._ended(self._study.tell(self._try, result))

    def tell_plan(self, planned: Planned) -> None:
        """Bring back what comes next."""
        self._ended(self._study.tell_plan(self._try, planned))

    def fail(self, reason: str) -> None:
        """Leave the training out."""
        self._ended(self._study.fail(self._try, reason))

    def _ended(self, mine: bool) -> None:
        self._lost = self._lost or not mine
        if self._lost:
            raise TaskLostError
        self.told = True


class StudyBoard:
    """The study of a campaign.

    Args:
        study: The study, agreed on or joined.
        workplace: What trains networks here.
        campaign: The campaign in its folder, into which is written what anybody trained; None for a
            worker that only trains, and chooses nothing.
        say: Told what the user should know.
        artifacts: Where files of its trainings are kept; None keeps none.
    """

    def __init__(
        self,
        study: CampaignStudy,
        workplace: Workplace,
        campaign: Campaign | None,
        say: Say,
        artifacts: Artifacts | None = None,
    ) -> None:
        self._artifacts = artifacts
        self._study = study
        self._workplace = workplace
        self._campaign = campaign
        self._say = say
        self._told = ""

    def longest(self) -> float | None:
        """Return the seconds of the longest training so far."""
        return max(self._study.look().state.finished.values(), default=None)

    def step(self, limits: CampaignLimits) -> AbstractContextManager[Claimed] | str | None:
        """Return the next training, claimed; why there is none; or None to wait for others."""
        while True:
            tries = self._study.look()
            if self._study.mend(tries):
                continue
            state = tries.state
            if self._campaign is not None:
                keep_all(self._campaign, tries)
            for task in ready(self._workplace, state):
                held = self._claim(tries, task)
                if held is not None:
                    refuse_many_failures(_ended(tries), "give another --name")
                    return held
            if state.open:
                self._waiting("others train what is left")
                return None
            reason = self._choose(tries, limits)
            if reason != "":
                return reason

    def _choose(self, tries: Tries, limits: CampaignLimits) -> str | None:
        """Choose what comes next, where all is trained that was chosen.

        Returns:
            Why the campaign ends; None to wait for others; nothing to look again.
        """
        if isinstance(self._workplace.file, RunsFile):  # nothing is chosen there
            return ALL_MADE
        last = tries.plans[-1] if tries.plans else None
        campaign = self._campaign
        if last is not None and last.planned is None and last.state == "running":
            self._waiting(f"{last.by or 'another'} chooses what comes next")
            return None
        if last is not None and last.state == "failed":
            raise RepvitNasError(f"{last.task.name}: {last.reason}; give another --name")
        planned = None if last is None else last.planned
        # Whoever asked for fewer networks ended it for itself; whoever chooses nothing goes with that.
        enough = planned is not None and (campaign is None or planned.networks >= limits.networks)
        if planned is not None and planned.reason and enough:
            return planned.reason
        if campaign is None:
            self._waiting("nothing to train until a measure-accuracy chooses it")
            return None
        if last is None or last.planned is not None:
            self._study.enqueue(PlanTask(len(tries.plans)))
        else:
            self._plan(campaign, tries, last, limits)
        return ""

    def _waiting(self, what: str) -> None:
        """Say once what is waited for."""
        if what != self._told:
            self._say(f"waiting: {what}")
        self._told = what

    def _claim(self, tries: Tries, task: TrainingTask) -> AbstractContextManager[Claimed] | None:
        one = tries.current.get(task.name)
        if one is None or one.state != "waiting":
            return None
        # The folder first: a worker that was taken for dead may still be writing there.
        lock = self._workplace.lock_of(task)
        if lock is None:
            return None
        if not self._study.claim(one, worker_name()):
            lock.release()
            return None
        place = f"{len(tries.state.finished) + 1} of {len(tries.trainings)}: {task.name}"
        artifacts = self._artifacts
        if artifacts is None:
            return _held(_Held(self._study, one, place), lock)
        keeping = _Keeping(artifacts, self._workplace.folder_of(task))
        bring = functools.partial(artifacts.bring, tries.all, task)
        return _held(_Held(self._study, one, place, bring, keeping), lock)

    def _plan(self, campaign: Campaign, tries: Tries, one: Try, limits: CampaignLimits) -> None:
        """Choose what comes next, unless another worker does."""
        if not self._study.claim(one, worker_name()):
            return
        with (
            contextlib.suppress(TaskLostError),
            contextlib.closing(_Held(self._study, one)) as held,
        ):
            state, known = campaign.state(), {task.name for task in tries.trainings}
            # What the folder began alone comes first; of what it has trained, files say that at once.
            alone = tuple(task for task in state.tasks if task.name not in known)
            planned = (
                Planned(alone, "", limits.networks)
                if alone
                else plan(campaign, state, limits.networks, self._say)
            )
            held.tell_plan(planned)
            for task in planned.tasks:
                self._study.enqueue(task)


@contextlib.contextmanager
def _held(claimed: _Held, lock: filelock.BaseFileLock) -> Iterator[Claimed]:
    try:
        with contextlib.closing(claimed):
            yield claimed
    finally:
        lock.release()


def _ended(tries: Tries) -> list[object]:
    """Return what ended, in the order of the trials."""
    return [
        Failure(each.task.name, each.reason) if each.state == "failed" else each.task
        for each in tries.current.values()
        if isinstance(each.task, TrainingTask) and each.state in {"failed", "done"}
    ]


def keep_all(campaign: Campaign, tries: Tries) -> None:
    """Write into a campaign's folder what anybody trained, so that all else works without a study."""
    with campaign.locked():
        campaign.tasks.mend()
        lines = campaign.tasks.read()
        asked = {each.name for each in lines if isinstance(each, TrainingTask)}
        ended = {each.name for each in lines if not isinstance(each, TrainingTask)}
        for task in tries.trainings:
            one = tries.current.get(task.name)
            if task.name not in asked:
                campaign.tasks.append(task)
            if one is None or task.name in ended:
                continue
            if one.result is not None:
                campaign.keep(task, one.result)
            elif one.state == "failed":
                campaign.tasks.append(Failure(task.name, one.reason))
