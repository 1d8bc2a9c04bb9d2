"""A study that several searches share: in an Optuna storage, each told trial once.

A search proposes from a study of its own, in memory, to which it adds what the others told: Optuna's
samplers write every suggestion of every trial to a storage, some thirty commits a trial. Here a trial
takes two, which are also what makes the number of trials right: it enters as running, with all that is
known of it, which gives it its number; and is told if fewer than the trials asked for have a lower
number and have not failed. So whoever comes first keeps the last places.
"""

import contextlib
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from repvit_nas.errors import RepvitNasError
from repvit_nas.folders import Resume
from repvit_nas.search_space.space import Choices
from repvit_nas.searching.checkpoint import TrialRecord
from repvit_nas.searching.entries import entries_of
from repvit_nas.searching.problem import Problem
from repvit_nas.storages import (
    WAIT_S,
    ask,
    close_storage,
    first_line,
    masked,
    open_storage,
    set_state,
)
from repvit_nas.words import Say

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial, TrialState

T = TypeVar("T")
STUDY_NAME: Final = "repvit-nas"
# The attribute of a study that says which search it belongs to; written last, when all else is.
DIGEST: Final = "repvit-nas search"
# And the one that says how the winners are loaded.
WINNERS: Final = "winners are loaded with"
# A trial is running for milliseconds, between its two commits; one that has been for as long as this
# while it was watched was left by a search that is gone. No clock of another machine is believed.
STALE_S: Final = 60.0
_POLL_S: Final = 0.2
# How long another search may take from making a study to saying whose it is.
MAKING_S: Final = 10.0
# Constraints are kept in a list, as Optuna kept them before they had names: dashboards look there, and a
# database takes a list at once. What each is called, the study says.
_LISTED: Final = "constraints"
_CONSTRAINTS: Final = "constraints, kept at 0 or less"


class Sharing(NamedTuple):
    """Which study several searches share.

    Attributes:
        url: Of the storage; see :func:`repvit_nas.storages.open_storage`.
        name: Of the study.
        wait_s: How long a storage that does not answer is waited for.
        say: Told when one is waited for.
        stale_s: See `STALE_S`.
    """

    url: str
    name: str = STUDY_NAME
    wait_s: float = WAIT_S
    say: Say = lambda _: None
    stale_s: float = STALE_S

    @contextlib.contextmanager
    def opened(self) -> "Iterator[BaseStorage]":
        """Open the storage.

        Raises:
            RepvitNasError: It cannot be opened.
        """
        storage = open_storage(self.url, wait_s=self.wait_s, say=self.say)
        try:
            yield storage
        finally:
            close_storage(storage)

    def ask(self, call: Callable[[], T]) -> T:
        """Ask the open storage; see :func:`repvit_nas.storages.ask`."""
        return ask(call, self.url, wait_s=self.wait_s, say=self.say)


class SharedStudy:
    """A study in a storage, open.

    Attributes:
        created: Whether this search made it.
        token: What its draws differ in from those of the other searches: nothing for the one that
            made it, so that alone it proposes what a search without a storage does.
    """

    def __init__(
        self,
        problem: Problem,
        storage: "BaseStorage",
        study: "optuna.Study",
        sharing: Sharing,
        *,
        created: bool,
    ) -> None:
        self.created = created
        self.token = () if created else (secrets.randbits(63),)
        self._problem = problem
        self._storage = storage
        self._study = study
        self._sharing = sharing
        self._study_id = sharing.ask(lambda: storage.get_study_id_from_name(study.study_name))
        # By what the storage calls each trial, which grows with its number.
        self._told: dict[int, tuple[int, ...]] = {}
        self._running: dict[int, float] = {}
        self._last: FrozenTrial | None = None

    @property
    def choices(self) -> Choices:
        """Every told trial's row of choices, in the order of their numbers, `(n, parameters)`."""
        rows = [self._told[trial_id] for trial_id in sorted(self._told)]
        width = len(self._problem.space.parameters)
        return np.array(rows, dtype=np.intp).reshape(-1, width)

    def news(self) -> list[TrialRecord]:
        """Return the trials that were told by others since the last time, oldest first."""
        from optuna.trial import TrialState

        trials = self._sharing.ask(lambda: self._study.get_trials(deepcopy=False))
        now = time.monotonic()
        self._last = trials[-1] if trials else None
        self._running = {
            _id(trial): self._running.get(_id(trial), now)
            for trial in trials
            if trial.state == TrialState.RUNNING
        }
        records = []
        for trial in trials:
            if trial.state == TrialState.COMPLETE and _id(trial) not in self._told:
                records.append(_record(self._problem, trial))
                self._told[_id(trial)] = records[-1].choices
        return records

    def room(self) -> int:
        """Return how many more trials may be proposed, as of the last news."""
        return max(0, self._problem.settings.trials - len(self._told) - len(self._running))

    def wait(self) -> None:
        """Wait a moment for the trials of others; those of searches that are gone are given up."""
        from optuna.trial import TrialState

        since = time.monotonic() - self._sharing.stale_s
        for trial_id in [trial_id for trial_id, seen in self._running.items() if seen <= since]:
            self._finish(trial_id, TrialState.FAIL)
        time.sleep(_POLL_S)

    def keep(
        self,
        records: Sequence[TrialRecord],
        distributions: "dict[str, BaseDistribution]",
    ) -> list[bool]:
        """Tell trials; returns which of them found a place."""
        import optuna

        rows = np.array([record.choices for record in records], dtype=np.intp)
        entries = entries_of(self._problem, rows, ["" for _ in records])
        kept = []
        for record, entry in zip(records, entries, strict=True):
            trial = optuna.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=self._problem.space.parameters_of(np.array(record.choices)),
                distributions=distributions,
                user_attrs={
                    **{
                        f"{device} latency, 90 % interval [ms]": [on.low_ms, on.high_ms]
                        for device, on in entry.devices.items()
                    },
                    **{f"{device} latency from": on.source for device, on in entry.devices.items()},
                    "accuracy estimate [%]": entry.accuracy,
                    "accuracy deviation [%]": entry.accuracy_std,
                    "architecture file": msgspec.to_builtins(entry.architecture),
                },
                system_attrs={**record.notes, _LISTED: list(record.constraints)},
            )
            kept.append(self._tell(trial, record))
        return kept

    def _tell(self, trial: "FrozenTrial", record: TrialRecord) -> bool:
        from optuna.trial import TrialState

        storage, sharing = self._storage, self._sharing
        trial_id = sharing.ask(lambda: storage.create_new_trial(self._study_id, trial))
        values = _turned(record.values)
        if self._has_place(trial_id) and self._finish(trial_id, TrialState.COMPLETE, values):
            self._told[trial_id] = record.choices
            return True
        self._finish(trial_id, TrialState.FAIL)
        return False

    def _has_place(self, trial_id: int) -> bool:
        from optuna.trial import TrialState

        trials, last, storage = self._problem.settings.trials, self._last, self._storage
        # What a storage calls trials grows at least as fast as their numbers; to ask for one is dear.
        if last is not None and last.number + trial_id - _id(last) < trials:
            return True
        number = self._sharing.ask(lambda: storage.get_trial_number_from_id(trial_id))
        if number < trials:
            return True
        counting = (TrialState.COMPLETE, TrialState.RUNNING)
        earlier = self._sharing.ask(lambda: self._study.get_trials(deepcopy=False, states=counting))
        return sum(trial.number < number for trial in earlier) < trials

    def _finish(
        self, trial_id: int, state: "TrialState", values: Sequence[float] | None = None
    ) -> bool:
        """Finish a trial; returns whether that was this search and not another one."""
        return set_state(self._sharing.ask, self._storage, trial_id, state, values)


@contextlib.contextmanager
def open_shared(
    problem: Problem, sharing: Sharing, digest: str, *, resume: Resume
) -> Iterator[SharedStudy]:
    """Make the study that searches share, or join it where `resume` says so.

    Raises:
        RepvitNasError: The storage cannot be opened, or holds such a study and `resume` is off, or
            one of another search or version.
    """
    with sharing.opened() as storage:
        study, created = _study(problem, storage, sharing, digest, resume=resume)
        yield SharedStudy(problem, storage, study, sharing, created=created)


def say_winners(sharing: Sharing, loads: dict[str, str]) -> None:
    """Note in the study of a search that has ended how each winner is loaded, by its name.

    Raises:
        RepvitNasError: The storage cannot be opened or written.
    """
    import optuna

    with sharing.opened() as storage:

        def note() -> None:
            study = optuna.load_study(storage=storage, study_name=sharing.name)
            study.set_user_attr(WINNERS, loads)

        sharing.ask(note)


def _study(
    problem: Problem, storage: "BaseStorage", sharing: Sharing, digest: str, *, resume: Resume
) -> "tuple[optuna.Study, bool]":
    """Return the study of that name, and whether it was made just now."""
    import optuna
    from optuna.study import StudyDirection

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions = [StudyDirection.MINIMIZE] * len(problem.devices) + [StudyDirection.MAXIMIZE]
    try:
        study = optuna.create_study(storage=storage, study_name=sharing.name, directions=directions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(_metric_names(problem))
        study.set_user_attr(_CONSTRAINTS, list(problem.constraint_names))
        study.set_user_attr(DIGEST, digest)
    except optuna.exceptions.DuplicatedStudyError as error:
        if not resume:
            raise RepvitNasError(
                f"the storage holds a study {sharing.name!r} already: continue it or join in with "
                "--resume, or start every worker with --resume auto"
            ) from error
        return sharing.ask(lambda: _joined(storage, sharing, digest, directions)), False
    except Exception as error:  # storages raise whatever their database raises
        raise RepvitNasError(
            f"the storage {masked(repr(sharing.url))} cannot be written: {first_line(error)}"
        ) from error
    return study, True


def _joined(
    storage: "BaseStorage", sharing: Sharing, digest: str, directions: "list[StudyDirection]"
) -> "optuna.Study":
    import optuna

    study = optuna.load_study(storage=storage, study_name=sharing.name)
    end = time.monotonic() + MAKING_S
    while DIGEST not in study.user_attrs and not study.get_trials(deepcopy=False):
        if time.monotonic() >= end:  # whoever made it is gone
            study.set_user_attr(DIGEST, digest)
        time.sleep(_POLL_S)
    if study.user_attrs.get(DIGEST) != digest:
        raise RepvitNasError(
            f"the study {sharing.name!r} belongs to another search: give another --study-name"
        )
    if study.directions != directions:
        raise RepvitNasError(
            f"the study {sharing.name!r} was made by another version of repvit-nas: give another "
            "--study-name"
        )
    return study


def _metric_names(problem: Problem) -> list[str]:
    risk = problem.settings.risk
    bound = f" less {risk:g} standard deviations" if risk else ""
    return [*(f"{device} latency [ms]" for device in problem.devices), f"accuracy{bound} [%]"]


def _turned(values: Sequence[float]) -> list[float]:
    """Return objectives with the sign of the accuracy turned: it is maximised in a storage."""
    return [*values[:-1], -values[-1]]


def _id(trial: "FrozenTrial") -> int:
    """Return what a storage calls a trial."""
    return trial._trial_id  # noqa: SLF001  # as Optuna's own storages hand it out


def _listed(problem: Problem, trial: "FrozenTrial") -> tuple[float, ...]:
    """Return the constraints of a trial, as many as the search has."""
    listed = trial.system_attrs[_LISTED]
    return tuple(float(value) for _, value in zip(problem.constraint_names, listed, strict=True))


def _record(problem: Problem, trial: "FrozenTrial") -> TrialRecord:
    from repvit_nas.searching.samplers import notes_of

    return TrialRecord(
        choices=tuple(problem.space.choices_of(trial.params)),
        values=tuple(_turned(trial.values)),
        constraints=_listed(problem, trial),
        notes=notes_of(trial),
    )
