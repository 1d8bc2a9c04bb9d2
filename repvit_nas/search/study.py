"""The Optuna study: proposes networks in batches, which are scored as arrays."""

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from repvit_nas.errors import RepvitNasError
from repvit_nas.search.checkpoint import Checkpoint, TrialRecord
from repvit_nas.search.problem import Problem, Scores, concatenate
from repvit_nas.search.settings import Settings
from repvit_nas.search_space.space import Choices

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    Distributions = dict[str, BaseDistribution]
    from optuna.samplers import BaseSampler

# NSGA-II's generation, and how many trials a checkpoint holds.
BATCH: Final = 50
# Samplers that learn from every single trial; the others propose a batch at once.
SEQUENTIAL: Final = ("tpe", "gp")
# How Optuna's genetic samplers name what a resumed study needs of a trial.
_GENERATION: Final = ":generation"


class Studied(NamedTuple):
    """What a study leaves.

    Attributes:
        choices: Every trial's row of choices, in order, `(trials, parameters)`.
        scores: Their scores.
        evaluations: How many different networks were scored.
        interrupted: Whether it ended before the trials it was given (time-out or Ctrl-C).
    """

    choices: Choices
    scores: Scores
    evaluations: int
    interrupted: bool


class _Scorer:
    """Scores rows of choices, each different one once, and remembers what was asked."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._known: dict[bytes, Scores] = {}
        self._asked: list[bytes] = []

    def score(self, choices: Choices) -> Scores:
        """Return the scores of `choices`, `(n, parameters)`."""
        keys = [row.tobytes() for row in choices]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            rows = np.fromiter(new.values(), dtype=np.intp)
            scores = self._problem.score(choices[rows])
            self._known.update(
                (key, scores.take(slice(row, row + 1))) for row, key in enumerate(new)
            )
        self._asked += keys
        return concatenate([self._known[key] for key in keys])

    def studied(self, *, interrupted: bool) -> "Studied":
        """Return everything that was asked, in order."""
        width = len(self._problem.space.parameters)
        choices = np.frombuffer(b"".join(self._asked), dtype=np.intp).reshape(-1, width)
        scores = (
            concatenate([self._known[key] for key in self._asked])
            if self._asked
            else self._problem.score(choices)
        )
        return Studied(choices, scores, len(self._known), interrupted)


def make_sampler(settings: Settings, batch: int, distributions: "Distributions") -> "BaseSampler":
    """Return the sampler for one batch.

    Each batch draws from its own stream of the seed, so a study that is resumed at a batch goes on
    exactly as an undisturbed one.
    """
    import optuna

    seed = int(np.random.SeedSequence([settings.seed, batch]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match settings.sampler:
            case "nsga2":
                from repvit_nas.search.samplers import StaticNSGAIISampler

                return StaticNSGAIISampler(distributions, population_size=BATCH, seed=seed)
            case "tpe":
                return optuna.samplers.TPESampler(seed=seed)
            case "gp":
                return optuna.samplers.GPSampler(seed=seed)
            case _:
                return optuna.samplers.RandomSampler(seed=seed)


def run_study(
    problem: Problem,
    *,
    start: Choices,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
    storage: str | None = None,
    study_name: str = "repvit-nas",
    timeout_s: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Studied:
    """Run the study of `problem` to the number of trials its settings ask for.

    Args:
        problem: What to search.
        start: Rows of choices that are tried first, `(n, parameters)`.
        checkpoint: Where finished batches are logged; without one the study is not resumable.
        resume: Go on from the checkpoint, or from the study in the storage.
        storage: An Optuna storage URL; None keeps the study in memory.
        study_name: The study's name in a storage.
        timeout_s: Stop proposing after this many seconds.
        progress: Called with the number of finished trials.
    """
    study = open_study(problem, storage, study_name, resume=resume)
    scorer = _Scorer(problem)
    done = _restore(study, problem, scorer, checkpoint if resume else None)
    if done == 0:
        for row in start[: problem.settings.trials]:
            study.enqueue_trial(problem.space.parameters_of(row))
        if checkpoint is not None:
            checkpoint.start()
    distributions = _distributions(problem)
    began, trials = time.monotonic(), problem.settings.trials
    try:
        while done < trials:
            if timeout_s is not None and time.monotonic() - began >= timeout_s:
                return scorer.studied(interrupted=True)
            size = min(BATCH - done % BATCH, trials - done)
            study.sampler = make_sampler(problem.settings, done // BATCH, distributions)
            records = _run_batch(study, problem, scorer, size)
            if checkpoint is not None:
                checkpoint.append(records)
            done += size
            progress(done)
    except KeyboardInterrupt:
        return scorer.studied(interrupted=True)
    return scorer.studied(interrupted=False)


def open_study(
    problem: Problem, storage: str | None, study_name: str, *, resume: bool
) -> "optuna.Study":
    """Create the Optuna study of `problem`, or load it from `storage` where `resume` says so.

    Raises:
        RepvitNasError: The storage cannot be opened, or holds such a study and `resume` is off.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions: list[Literal["minimize"]] = ["minimize"] * (len(problem.devices) + 1)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=study_name if storage else None,
            directions=directions,
            load_if_exists=resume,
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise RepvitNasError(
            f"the storage holds a study {study_name!r} already: continue it with --resume"
        ) from error
    except Exception as error:  # storages raise whatever their database raises
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RepvitNasError(f"the storage {storage!r} cannot be opened: {line}") from error
    if len(study.directions) != len(directions):
        raise RepvitNasError(
            f"the study {study_name!r} has {len(study.directions)} objectives; this search has "
            f"{len(directions)}: give it another name with --study-name"
        )
    return study


def _run_batch(
    study: "optuna.Study", problem: Problem, scorer: _Scorer, size: int
) -> list[TrialRecord]:
    if problem.settings.sampler in SEQUENTIAL:
        return [record for _ in range(size) for record in _ask_and_tell(study, problem, scorer, 1)]
    return _ask_and_tell(study, problem, scorer, size)


def _ask_and_tell(
    study: "optuna.Study", problem: Problem, scorer: _Scorer, size: int
) -> list[TrialRecord]:
    trials = [study.ask() for _ in range(size)]
    choices = np.array([problem.space.suggest(trial) for trial in trials], dtype=np.intp)
    scores = scorer.score(choices)
    objectives = problem.objectives(scores)
    records = []
    for row, trial in enumerate(trials):
        values, constraints = objectives[row].tolist(), scores.violations[row].tolist()
        for name, violation in zip(problem.constraint_names, constraints, strict=True):
            trial.set_constraint(name, violation)
        told = study.tell(trial, values)
        records.append(
            TrialRecord(
                choices=tuple(choices[row].tolist()),
                values=tuple(values),
                constraints=tuple(constraints),
                notes={
                    name: value
                    for name, value in told.system_attrs.items()
                    if name.endswith(_GENERATION)
                },
            )
        )
    return records


def _restore(
    study: "optuna.Study", problem: Problem, scorer: _Scorer, checkpoint: Checkpoint | None
) -> int:
    """Bring back the finished trials of an earlier run; return how many there are."""
    import optuna

    finished = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    if finished:
        rows = [problem.space.choices_of(trial.params) for trial in finished]
        scorer.score(np.array(rows, dtype=np.intp))
        return len(finished)
    if checkpoint is None or not checkpoint.path.exists():
        return 0
    records = [record for batch in checkpoint.read() for record in batch]
    if not records:
        return 0
    scorer.score(np.array([record.choices for record in records], dtype=np.intp))
    distributions = _distributions(problem)
    study.add_trials(
        [
            optuna.create_trial(
                params=problem.space.parameters_of(np.array(record.choices)),
                distributions=distributions,
                values=list(record.values),
                system_attrs=dict(record.notes),
                constraints=dict(zip(problem.constraint_names, record.constraints, strict=True)),
            )
            for record in records
        ]
    )
    return len(records)


def _distributions(problem: Problem) -> "Distributions":
    from optuna.distributions import CategoricalDistribution, IntDistribution

    distributions: Distributions = {}
    for parameter in problem.space.free_parameters:
        values = parameter.values
        if parameter.step:
            distributions[parameter.name] = IntDistribution(
                int(values[0]), int(values[-1]), step=parameter.step
            )
        else:
            distributions[parameter.name] = CategoricalDistribution(values)
    return distributions
