"""The study of a campaign that several machines share: a trial for each try at a task.

A task is a training, or the choice of what comes next. It is enqueued as a waiting trial and claimed by
setting that to running, which an Optuna storage grants to one worker alone; what it says is written
before it is set to its end, which is granted once. Whoever works changes a user attribute every few
seconds; one that stays as it is while it is watched was left by a worker that is gone, so no machine's
clock is believed. (Optuna's own heartbeats are of databases alone, and of their clock.)
"""

import contextlib
import functools
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from repvit_nas import files
from repvit_nas.campaign.images import portable
from repvit_nas.campaign.records import AnyFile, CampaignFile, Planned, RunsFile
from repvit_nas.campaign.training import Result
from repvit_nas.campaign.trial import (
    BEAT,
    BY,
    GIVEN_BACK,
    REASON,
    facts_of_plan,
    facts_of_result,
    facts_of_task,
    is_hidden,
    read_try,
)
from repvit_nas.campaign.tries import Beat, Task, Tries, Try, TryState
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.searching.shared import DIGEST, MAKING_S, Sharing
from repvit_nas.storages import ask, set_state, was_finished
from repvit_nas.training.records import differences
from repvit_nas.words import number_of

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState

T = TypeVar("T")
# The attributes of a study that say which campaign it is: one that chooses its trainings, or a list.
# They are of those that dashboards do not show: a page of JSON in one line.
CAMPAIGN, RUNS = "repvit-nas campaign", "repvit-nas trainings"
_KINDS: Final[dict[str, type[AnyFile]]] = {CAMPAIGN: CampaignFile, RUNS: RunsFile}
METRIC: Final = "top-1 [%]"
_POLL_S: Final = 0.2
# A look counts as watching for so long at most: nobody watches while the storage is out of reach.
_LOOK_S: Final = 5.0


class CampaignStudy:
    """The study of a campaign, in an open storage.

    Attributes:
        file: What the campaign was asked, once it is agreed on or joined.

    Args:
        storage: The storage.
        sharing: Which study.
    """

    file: AnyFile

    def __init__(self, storage: "BaseStorage", sharing: Sharing) -> None:
        self.sharing = sharing
        self.storage = storage
        self._study: optuna.Study
        self._study_id = -1
        self._ended: dict[int, Try] = {}
        self._watched: dict[int, tuple[int, float]] = {}
        self._looked = time.monotonic()
        self._missing: dict[str, float] = {}

    def call(self, call: Callable[[], T], *, wait_s: float | None = None) -> T:
        """Ask the storage; an outage is waited for."""
        sharing = self.sharing
        return ask(
            call,
            sharing.url,
            wait_s=sharing.wait_s if wait_s is None else wait_s,
            say=sharing.say,
            remedy="the same command goes on",
        )

    def agree(self, file: AnyFile) -> bool:
        """Make the study of a campaign, or join it.

        Args:
            file: What this worker was asked.

        Returns:
            Whether it was made.

        Raises:
            RepvitNasError: The study is no campaign, or one that was asked something else.
        """
        import optuna

        def make() -> bool:
            name = self.sharing.name
            try:
                made = optuna.create_study(
                    storage=self.storage, study_name=name, direction="maximize"
                )
            except optuna.exceptions.DuplicatedStudyError:
                return False
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                made.set_metric_names([METRIC])
            for key, value in _shown(file).items():
                made.set_user_attr(key, value)
            self._say_whose(file)
            return True

        made = self.call(make)
        self._load(otherwise=file)
        if _key(self.file) != _key(file):
            raise RepvitNasError(
                f"the campaign {self.sharing.name!r} was begun by another command: give another --name"
            )
        apart = _apart(self.file, file)
        if self.file.data_digest != file.data_digest:
            raise RepvitNasError(self.other_images(file.data_digest))
        if apart:
            raise RepvitNasError(
                f"the campaign {self.sharing.name!r} was begun with other arguments, or by another "
                f"version: {'; '.join(apart[:3])}; give the same ones, or another --name"
            )
        return made

    def join(self) -> AnyFile:
        """Join a campaign that is there; returns what its workers were asked.

        Raises:
            RepvitNasError: There is no study of that name, or it is no campaign.
        """
        import optuna

        names = self.call(lambda: optuna.get_all_study_names(self.storage))
        if self.sharing.name not in names:
            error = UnknownNameError.of("campaign", self.sharing.name, sorted(names))
            raise UnknownNameError(
                f"{error}; a new one is begun by measure-accuracy, or train --seeds, with the same "
                "--storage and --name"
            )
        self._load(otherwise=None)
        return self.file

    def other_images(self, found: str) -> str:
        """Say that a worker's images are not those of the campaign."""
        return (
            f"the campaign {self.sharing.name!r} is of other images ({self.file.data_digest}; these are "
            f"{found}): give it the same folder's content, or another --name"
        )

    def _load(self, otherwise: AnyFile | None) -> None:
        """Load the study, whose maker may be about to say whose it is, or gone."""
        import optuna

        name = self.sharing.name
        self._study = self.call(lambda: optuna.load_study(storage=self.storage, study_name=name))
        self._study_id = self.call(lambda: self.storage.get_study_id_from_name(name))
        end = time.monotonic() + MAKING_S
        while not (keys := _KINDS.keys() & (attrs := self._attrs())):
            if DIGEST in self.call(lambda: self._study.user_attrs) or self.call(
                lambda: self._study.get_trials(deepcopy=False)
            ):
                raise RepvitNasError(
                    f"the study {name!r} is a search, or somebody else's: give another --name"
                )
            if time.monotonic() >= end:
                if otherwise is None:
                    raise RepvitNasError(f"the study {name!r} is empty: nobody has begun it")
                self.call(functools.partial(self._say_whose, otherwise))
            time.sleep(_POLL_S)
        (key,) = sorted(keys)[:1]
        self.file = files.convert(f"the campaign {name!r}", attrs[key], _KINDS[key])

    def _attrs(self) -> dict[str, Any]:
        """Return the attributes of the study that dashboards do not show."""
        return self.call(lambda: self.storage.get_study_system_attrs(self._study_id))

    def _say_whose(self, file: AnyFile) -> None:
        """Write into the study which campaign it is, after all else."""
        study_id = self.storage.get_study_id_from_name(self.sharing.name)
        document = msgspec.to_builtins(_without_paths(file))
        self.storage.set_study_system_attr(study_id, _key(file), document)

    def look(self) -> Tries:
        """Return all tries, as they are now.

        Raises:
            FileError: A trial holds what no version of this package wrote.
        """
        trials = self.call(lambda: self._study.get_trials(deepcopy=False))
        wanted = self.file.tasks if isinstance(self.file, RunsFile) else ()
        tries = Tries([self._try(trial) for trial in trials], wanted)
        now = time.monotonic()
        watched = min(now - self._looked, _LOOK_S)
        self._looked = now
        before = self._watched
        self._watched = {}
        for each in tries.running:
            count = each.beat.count if each.beat else -1
            seen, seconds = before.get(each.number, (count, -watched))
            self._watched[each.number] = (count, seconds + watched if seen == count else 0.0)
        return tries

    def mend(self, tries: Tries) -> bool:
        """Give up tries whose worker is gone, and enqueue what no try counts of.

        Returns:
            Whether there was something to mend.
        """
        stale = [
            each for each in tries.running if self._watched[each.number][1] >= self.sharing.stale_s
        ]
        for each in stale:
            if self._set_state(each, _states().FAIL):
                self.enqueue(each.task)
                self.sharing.say(
                    f"{each.task.name}: nothing was heard of {each.by or 'its worker'} for "
                    f"{self.sharing.stale_s:g} s; it is given to another"
                )
        # Whoever left a task to be enqueued is about to do so, or gone.
        now = time.monotonic()
        self._missing = {task.name: self._missing.get(task.name, now) for task in tries.missing}
        gone = [task for task in tries.missing if now - self._missing[task.name] >= MAKING_S]
        for task in gone:
            self.enqueue(task)
        twice = [
            each
            for each in tries.all
            if each.state == "waiting" and tries.current[each.task.name].number != each.number
        ]
        for each in twice:
            with contextlib.suppress(Exception):  # others do the same
                self._drop(each)
        return bool(stale or gone)

    def enqueue(self, task: Task) -> None:
        """Add a try at a task, for whoever comes."""
        import optuna

        facts = facts_of_task(task, self.file)
        trial = optuna.create_trial(
            state=optuna.trial.TrialState.WAITING,
            user_attrs={key: value for key, value in facts.items() if not is_hidden(key)},
            system_attrs={key: value for key, value in facts.items() if is_hidden(key)},
        )
        self.call(lambda: self.storage.create_new_trial(self._study_id, trial))

    def claim(self, one: Try, by: str) -> bool:
        """Claim a waiting try; returns whether it was granted."""
        if not self._set_state(one, _states().RUNNING):
            return False
        return self._note(one, {BY: by, BEAT: msgspec.to_builtins(Beat(0))})

    def tell(self, one: Try, result: Result) -> bool:
        """Write what a training says; returns whether the try was still this worker's."""
        top1 = result.observation.top1
        return self._note(one, facts_of_result(result)) and self._set_state(
            one, _states().COMPLETE, top1
        )

    def tell_plan(self, one: Try, planned: Planned) -> bool:
        """Write what comes next; returns whether the try was still this worker's."""
        # Pruned is Optuna's end without a value.
        return self._note(one, facts_of_plan(planned)) and self._set_state(one, _states().PRUNED)

    def fail(self, one: Try, reason: str) -> bool:
        """Leave a training out; returns whether the try was still this worker's."""
        return self._note(one, {REASON: reason[:1000]}) and self._set_state(one, _states().FAIL)

    def _note(self, one: Try, facts: dict[str, Any]) -> bool:
        """Write attributes of a try; returns whether it has not come to an end."""
        shown, hidden = self.storage.set_trial_user_attr, self.storage.set_trial_system_attr
        try:
            for key, value in facts.items():
                write = hidden if is_hidden(key) else shown
                self.call(functools.partial(write, one.trial_id, key, value))
        except Exception as error:
            if not was_finished(error):
                raise
            return False
        return True

    def give_back(self, one: Try) -> None:
        """Give up one's own try at a task, for another worker, if the storage answers at once."""
        with contextlib.suppress(Exception):  # else it is found lost after a while
            self._drop(one)
            self.enqueue(one.task)

    def _drop(self, one: Try) -> None:
        """End a try that nobody was lost at."""
        storage, fail = self.storage, _states().FAIL
        self.call(lambda: storage.set_trial_user_attr(one.trial_id, GIVEN_BACK, True), wait_s=0)
        self.call(lambda: storage.set_trial_state_values(one.trial_id, fail), wait_s=0)

    def _set_state(self, one: Try, state: "TrialState", value: float | None = None) -> bool:
        values = None if value is None else [value]
        return set_state(self.call, self.storage, one.trial_id, state, values)

    def _try(self, trial: "FrozenTrial") -> Try:
        known = self._ended.get(trial.number)
        if known is None:
            trial_id = trial._trial_id  # noqa: SLF001  # as Optuna's own storages hand it out
            where = f"the campaign {self.sharing.name!r}: trial {trial.number}"
            known = read_try(
                where,
                number=trial.number,
                trial_id=trial_id,
                state=_state(trial),
                attrs=trial.user_attrs | trial.system_attrs,
                file=self.file,
            )
            if trial.state.is_finished():
                self._ended[trial.number] = known
        return known


@contextlib.contextmanager
def open_study(sharing: Sharing) -> Iterator[CampaignStudy]:
    """Open the storage of a campaign.

    Raises:
        RepvitNasError: It cannot be opened.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with sharing.opened() as storage:
        yield CampaignStudy(storage, sharing)


def _states() -> "type[TrialState]":
    """Return Optuna's states of trials, which is imported where it is used."""
    from optuna.trial import TrialState

    return TrialState


def _state(trial: "FrozenTrial") -> TryState:
    states = _states()
    if trial.state == states.WAITING:
        return "waiting"
    if trial.state == states.RUNNING:
        return "running"
    return "failed" if trial.state == states.FAIL else "done"


def _key(file: AnyFile) -> str:
    """Return the attribute of a study that holds what a campaign was asked."""
    return next(key for key, kind in _KINDS.items() if isinstance(file, kind))


def _shown(file: AnyFile) -> dict[str, Any]:
    """Return what a dashboard shows of a campaign."""
    said: dict[str, Any] = {
        "images": f"{file.asked.data.name}, {file.val_images:,} to validate on",
        "recipe": f"{file.asked.recipe_name}, {number_of(file.asked.recipe.epochs, 'epoch')}",
        "starts from": file.asked.init,
        "resolution": file.resolution,
    }
    if isinstance(file, RunsFile):
        return said | {"trainings": len(file.tasks)}
    return said | {
        "space": file.asked.space,
        "latency at most [ms]": file.asked.budgets_ms,
        "latency band": file.asked.band,
    }


def _without_paths(file: AnyFile) -> AnyFile:
    """Return what a campaign was asked without what only means something on one machine."""
    return msgspec.structs.replace(file, command="", trainings="")


def _portable(file: AnyFile) -> AnyFile:
    """Return what must be the same on all machines, which call the images each their own way."""
    asked = msgspec.structs.replace(file.asked, data=portable(file.asked.data))
    return msgspec.structs.replace(_without_paths(file), asked=asked)


def _apart(known: AnyFile, asked: AnyFile) -> list[str]:
    """Say in what a campaign is another than a worker was asked; of lists, first which trainings."""
    there, here = (
        {task.name for task in file.tasks} if isinstance(file, RunsFile) else set()
        for file in (known, asked)
    )
    said = [f"it has no training {name}" for name in sorted(here - there)]
    said += [f"it has a training {name} too" for name in sorted(there - here)]
    return said or differences(_portable(known), _portable(asked))
