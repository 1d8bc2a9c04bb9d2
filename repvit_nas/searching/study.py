"""The Optuna study: proposes networks in batches, which are scored as arrays."""

import contextlib
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.folders import Resume
from repvit_nas.search_space.space import Choices
from repvit_nas.searching.checkpoint import Checkpoint, TrialRecord
from repvit_nas.searching.problem import NetworkScores, Problem, concatenate
from repvit_nas.searching.settings import Settings
from repvit_nas.searching.shared import Sharing, open_shared

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    Distributions = dict[str, BaseDistribution]
    from optuna.samplers import BaseSampler

    from repvit_nas.searching.samplers import Generations
    from repvit_nas.searching.shared import SharedStudy

# NSGA-II's generation, and how many trials are proposed, scored and logged at once.
BATCH: Final = 50
# Samplers that learn from every single trial, so that their batches are of one.
SEQUENTIAL: Final = ("tpe", "gp")


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

    def studied(self, choices: Choices | None, *, interrupted: bool) -> "Studied":
        """Return what is known of `choices`, or of everything that was asked, in order."""
        if choices is None:
            width = len(self._problem.space.parameters)
            choices = np.frombuffer(b"".join(self._asked), dtype=np.intp).reshape(-1, width)
        keys = [row.tobytes() for row in choices]
        scores = (
            concatenate([self._known[key] for key in keys])
            if keys
            else self._problem.score(choices)
        )
        return Studied(choices, scores, len(set(keys)), interrupted)


def batch_size(settings: Settings) -> int:
    """Return how many trials the sampler proposes before it learns from them."""
    return 1 if settings.sampler in SEQUENTIAL else BATCH


def make_sampler(
    settings: Settings,
    done: int,
    distributions: "Distributions",
    generations: "Generations",
    token: tuple[int, ...] = (),
) -> "BaseSampler":
    """Return the sampler for the batch after `done` trials.

    Each batch draws from its own stream of the seed, so a study that is resumed at a batch goes on
    exactly as an undisturbed one; and one that is resumed within a batch repeats no draws.

    Args:
        settings: Of the search.
        done: How many trials are known.
        distributions: The parameters.
        generations: The study's.
        token: Keeps apart the draws of searches that share a study.
    """
    import optuna

    entropy = [settings.seed, *divmod(done, batch_size(settings)), *token]
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
    resume: Resume = False,
    sharing: Sharing | None = None,
    digest: str = "",
    timeout_s: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Studied:
    """Run the study of `problem` to the number of trials its settings ask for.

    Args:
        problem: What to search.
        start: Rows of choices that are tried first, `(n, parameters)`.
        checkpoint: Where finished batches are logged; without one the study is not resumable.
        resume: Go on from the checkpoint, or with the study that is shared; `auto`, or start.
        sharing: Which study in a storage is shared with other searches; None keeps it in memory.
        digest: Of the search, which a shared study must belong to.
        timeout_s: Stop proposing after this many seconds.
        progress: Called with the number of finished trials.

    Raises:
        RepvitNasError: There is no such study, it is another search's, or it is longer already.
    """
    with contextlib.ExitStack() as stack:
        shared = None
        if sharing is not None:
            shared = stack.enter_context(open_shared(problem, sharing, digest, resume=resume))
        run = _Run(problem, None if shared else checkpoint, shared)
        if shared is None:
            run.restore(resume=bool(resume))
        else:
            run.join()
        run.enqueue(start)
        complete = _run(run, problem.settings.trials, timeout_s, progress)
        return run.studied(interrupted=not complete)


def _run(
    run: "_Run", trials: int, timeout_s: float | None, progress: Callable[[int], None]
) -> bool:
    """Propose until all trials are told; returns whether they are, or the time or a person ended it."""
    took, began = 0.0, time.monotonic()
    try:
        while (size := run.room()) != 0:
            elapsed = time.monotonic() - began
            # A batch that would take as long as the last one must end in time, too.
            if timeout_s is not None and elapsed + took >= timeout_s:
                return False
            if size is None:
                continue
            run.batch(size)
            progress(min(run.done, trials))
            took = time.monotonic() - began - elapsed
    except KeyboardInterrupt:
        return False
    return True


class _Run:
    """A study under way: in memory, and kept in a log, or shared with other searches."""

    def __init__(
        self, problem: Problem, checkpoint: Checkpoint | None, shared: "SharedStudy | None"
    ) -> None:
        import optuna

        from repvit_nas.searching.samplers import Generations

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.done = 0
        self._problem = problem
        self._checkpoint = checkpoint
        self._shared = shared
        self._distributions = _distributions(problem)
        self._generations = Generations(BATCH)
        self._scorer = _Scorer(problem)
        self._study = optuna.create_study(directions=["minimize"] * (len(problem.devices) + 1))

    def restore(self, *, resume: bool) -> None:
        """Bring back the finished trials of an earlier run, or begin its log."""
        checkpoint = self._checkpoint
        if checkpoint is None:
            return
        if resume and checkpoint.path.exists():
            self._add(_whole_batches(self._problem, checkpoint))
        if self.done == 0:
            checkpoint.start()

    def join(self) -> None:
        """Learn what the other searches have told so far."""
        if self._shared is not None:
            self._add(self._shared.news())
            _require_room(self._problem, self.done)

    def enqueue(self, start: Choices) -> None:
        """Have rows of choices tried first, but for those that were or that another search tries."""
        if self._shared is None or self._shared.created:
            for row in start[self.done : self._problem.settings.trials]:
                self._study.enqueue_trial(self._problem.space.parameters_of(row))

    def room(self) -> int | None:
        """Return the size of the next batch: 0 at the end, None while only others are at work."""
        settings = self._problem.settings
        batch = batch_size(settings)
        if self._shared is None:
            return min(batch - self.done % batch, settings.trials - self.done)
        self._add(self._shared.news())
        if self.done >= settings.trials:
            return 0
        room = min(batch - self.done % batch, self._shared.room())
        if room:
            return room
        self._shared.wait()
        return None

    def batch(self, size: int) -> None:
        """Propose so many networks, score and keep them."""
        import optuna

        from repvit_nas.searching.samplers import notes_of

        problem, study = self._problem, self._study
        token = () if self._shared is None else self._shared.token
        study.sampler = make_sampler(
            problem.settings, self.done, self._distributions, self._generations, token
        )
        trials = [study.ask() for _ in range(size)]
        choices = np.array([problem.space.suggest(trial) for trial in trials], dtype=np.intp)
        scores = self._scorer.score(choices)
        objectives = problem.objectives(scores)
        asked = study.get_trials(deepcopy=False)
        records = [
            TrialRecord(
                choices=tuple(choices[row].tolist()),
                values=tuple(objectives[row].tolist()),
                constraints=tuple(scores.violations[row].tolist()),
                notes=notes_of(asked[trial.number]),
            )
            for row, trial in enumerate(trials)
        ]
        kept = self._keep(records)
        for trial, record, keeps in zip(trials, records, kept, strict=True):
            if not keeps:  # others took the last places
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            for name, violation in zip(problem.constraint_names, record.constraints, strict=True):
                trial.set_constraint(name, violation)
            self._generations.add([study.tell(trial, list(record.values))])
            self.done += 1

    def _keep(self, records: list[TrialRecord]) -> list[bool]:
        if self._shared is not None:
            return self._shared.keep(records, self._distributions)
        if self._checkpoint is not None:
            self._checkpoint.append(records)
        return [True] * len(records)

    def _add(self, records: list[TrialRecord]) -> None:
        """Add trials that were told before, or by others."""
        import optuna

        if not records:
            return
        problem = self._problem
        self._scorer.score(np.array([record.choices for record in records], dtype=np.intp))
        before = len(self._study.get_trials(deepcopy=False))
        self._study.add_trials(
            [
                optuna.create_trial(
                    params=problem.space.parameters_of(np.array(record.choices)),
                    distributions=self._distributions,
                    values=list(record.values),
                    system_attrs=dict(record.notes),
                    constraints=dict(
                        zip(problem.constraint_names, record.constraints, strict=True)
                    ),
                )
                for record in records
            ]
        )
        self._generations.add(self._study.get_trials(deepcopy=False)[before:])
        self.done += len(records)

    def studied(self, *, interrupted: bool) -> Studied:
        """Return what the study found; of a shared one in the order of its trials' numbers."""
        choices = None if self._shared is None else self._shared.choices
        return self._scorer.studied(choices, interrupted=interrupted)


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
    from repvit_nas.searching.samplers import StaticNSGAIISampler

    radix = problem.space.radix.tolist()
    batch = number // BATCH
    return (
        len(record.choices) == len(radix)
        and all(choice < values for choice, values in zip(record.choices, radix, strict=True))
        and len(record.values) == len(problem.devices) + 1
        and len(record.constraints) == len(problem.constraint_names)
        and set(record.notes) <= {StaticNSGAIISampler.generation_key()}
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
