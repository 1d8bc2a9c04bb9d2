"""The Optuna study: proposes networks in batches, which are scored as arrays."""

import re
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.search_space.space import Choices
from repvit_nas.searching.checkpoint import Checkpoint, TrialRecord
from repvit_nas.searching.problem import NetworkScores, Problem, concatenate
from repvit_nas.searching.settings import Settings

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    Distributions = dict[str, BaseDistribution]
    from optuna.samplers import BaseSampler

    from repvit_nas.searching.samplers import Generations

# NSGA-II's generation, and how many trials are proposed, scored and logged at once.
BATCH: Final = 50
# Samplers that learn from every single trial, so that their batches are of one.
SEQUENTIAL: Final = ("tpe", "gp")
# How Optuna's genetic samplers name what a resumed study needs of a trial.
_GENERATION: Final = "StaticNSGAIISampler:generation"
# The attribute of a study in a storage that says which search it belongs to.
_DIGEST: Final = "repvit-nas search"
# A password in a URL, or in what a database says of one.
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@\s]*):.*@|(?<=password=)[^&\s]*", re.IGNORECASE)


class Studied(NamedTuple):
    """What a study leaves.

    Attributes:
        choices: Every trial's row of choices, in order, `(trials, parameters)`.
        scores: Their scores.
        evaluations: How many different networks were scored.
        interrupted: Whether it ended before the trials it was given (time-out or Ctrl-C).
    """

    choices: Choices
    scores: NetworkScores
    evaluations: int
    interrupted: bool


class _Scorer:
    """Scores rows of choices, each different one once, and remembers what was asked."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._known: dict[bytes, NetworkScores] = {}
        self._asked: list[bytes] = []

    def score(self, choices: Choices) -> NetworkScores:
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


def batch_size(settings: Settings) -> int:
    """Return how many trials the sampler proposes before it learns from them."""
    return 1 if settings.sampler in SEQUENTIAL else BATCH


def make_sampler(
    settings: Settings, done: int, distributions: "Distributions", generations: "Generations"
) -> "BaseSampler":
    """Return the sampler for the batch after `done` trials.

    Each batch draws from its own stream of the seed, so a study that is resumed at a batch goes on
    exactly as an undisturbed one; and one that is resumed within a batch repeats no draws.
    """
    import optuna

    entropy = [settings.seed, *divmod(done, batch_size(settings))]
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match settings.sampler:
            case "nsga2":
                from repvit_nas.searching.samplers import StaticNSGAIISampler

                return StaticNSGAIISampler(distributions, generations, seed=seed)
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
    digest: str = "",
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
        digest: Of the search, which a study in a storage must belong to.
        timeout_s: Stop proposing after this many seconds.
        progress: Called with the number of finished trials.

    Raises:
        RepvitNasError: There is no such study, it is another search's, or it is longer already.
    """
    from repvit_nas.searching.samplers import Generations

    study = open_study(problem, storage, study_name, digest, resume=resume)
    scorer, generations = _Scorer(problem), Generations(BATCH)
    done = _restore(study, problem, scorer, generations, checkpoint if resume else None)
    if done == 0 and checkpoint is not None:
        checkpoint.start()
    distributions = _distributions(problem)
    began, trials, batch = time.monotonic(), problem.settings.trials, batch_size(problem.settings)
    for row in start[len(study.get_trials(deepcopy=False)) : trials]:
        study.enqueue_trial(problem.space.parameters_of(row))
    took = 0.0
    try:
        while done < trials:
            elapsed = time.monotonic() - began
            # A batch that would take as long as the last one must end in time, too.
            if timeout_s is not None and elapsed + took >= timeout_s:
                return scorer.studied(interrupted=True)
            size = min(batch - done % batch, trials - done)
            study.sampler = make_sampler(problem.settings, done, distributions, generations)
            records = _ask_and_tell(study, problem, scorer, generations, size)
            if checkpoint is not None:
                checkpoint.append(records)
            done += size
            progress(done)
            took = time.monotonic() - began - elapsed
    except KeyboardInterrupt:
        return scorer.studied(interrupted=True)
    return scorer.studied(interrupted=False)


def open_study(
    problem: Problem, storage: str | None, study_name: str, digest: str, *, resume: bool
) -> "optuna.Study":
    """Create the Optuna study of `problem`, or load it from `storage` where `resume` says so.

    Raises:
        RepvitNasError: The storage cannot be opened, or holds such a study and `resume` is off, or
            one of another search.
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
        raise RepvitNasError(
            _masked(f"the storage {storage!r} cannot be opened: {line}")
        ) from error
    if storage and _DIGEST not in study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(_DIGEST, digest)
    if storage and study.user_attrs.get(_DIGEST) != digest:
        raise RepvitNasError(
            f"the study {study_name!r} belongs to another search: give another --study-name"
        )
    return study


def _masked(message: str) -> str:
    """Return `message` without the passwords of the URLs in it."""
    return _PASSWORD.sub(
        lambda match: f"{match[1]}:***@" if match[1] is not None else "***", message
    )


def _ask_and_tell(
    study: "optuna.Study",
    problem: Problem,
    scorer: _Scorer,
    generations: "Generations",
    size: int,
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
        generations.add([told])
        records.append(
            TrialRecord(
                choices=tuple(choices[row].tolist()),
                values=tuple(values),
                constraints=tuple(constraints),
                notes={
                    name: value for name, value in told.system_attrs.items() if name == _GENERATION
                },
            )
        )
    return records


def _restore(
    study: "optuna.Study",
    problem: Problem,
    scorer: _Scorer,
    generations: "Generations",
    checkpoint: Checkpoint | None,
) -> int:
    """Bring back the finished trials of an earlier run; return how many there are."""
    import optuna

    finished = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    if finished:
        _require_room(problem, len(finished))
        rows = [problem.space.choices_of(trial.params) for trial in finished]
        scorer.score(np.array(rows, dtype=np.intp))
        generations.add(finished)
        return len(finished)
    if checkpoint is None or not checkpoint.path.exists():
        return 0
    records = _whole_batches(problem, checkpoint)
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
    generations.add(study.get_trials(deepcopy=False))
    return len(records)


def _require_room(problem: Problem, done: int) -> None:
    if done > problem.settings.trials:
        raise RepvitNasError(
            f"the study has {done:,} trials already; got --trials {problem.settings.trials}: ask "
            "for as many or more"
        )


def _whole_batches(problem: Problem, checkpoint: Checkpoint) -> list[TrialRecord]:
    """Return the logged trials but for a last batch that was cut short and is to go on.

    That batch is made again as a whole, as in a study that was never cut short, and leaves the log.

    Raises:
        FileError: A trial in the log cannot be one of this search.
    """
    records: list[TrialRecord] = []
    for line, batch in enumerate(checkpoint.read(), start=2):
        for record in batch:
            if not _fits(problem, record, len(records)):
                raise FileError(
                    f"{checkpoint.path}: line {line} holds a trial that this search cannot have "
                    "made; start again with --overwrite"
                )
            records.append(record)
    _require_room(problem, len(records))
    size = batch_size(problem.settings)
    if len(records) % size and len(records) < problem.settings.trials:
        del records[len(records) - len(records) % size :]
        checkpoint.keep([records[at : at + size] for at in range(0, len(records), size)])
    return records


def _fits(problem: Problem, record: TrialRecord, number: int) -> bool:
    """Tell whether `record` can be trial `number` of the study."""
    radix = problem.space.radix.tolist()
    batch = number // BATCH
    return (
        len(record.choices) == len(radix)
        and all(choice < values for choice, values in zip(record.choices, radix, strict=True))
        and len(record.values) == len(problem.devices) + 1
        and len(record.constraints) == len(problem.constraint_names)
        and set(record.notes) <= {_GENERATION}
        # Networks that a study starts from have no generation, so the first may take two batches.
        and all(max(0, batch - 1) <= generation <= batch for generation in record.notes.values())
    )


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
