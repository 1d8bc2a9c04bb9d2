"""What a campaign trains: what is fixed before the first training, and what comes next."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from repvit_nas.accuracy.estimator import AccuracyEstimate, AccuracyEstimator, Observed
from repvit_nas.accuracy.observations import RANDOM, AccuracyObservation, nameless
from repvit_nas.accuracy.posterior import Learned, learn, unseen
from repvit_nas.accuracy.regression import line, predict
from repvit_nas.accuracy.responses import responses
from repvit_nas.accuracy.selection import choose, expected_regret
from repvit_nas.accuracy.trained import FEWEST, family_beside
from repvit_nas.architecture import Architecture
from repvit_nas.campaign.band import Band
from repvit_nas.campaign.records import (
    DONOR,
    CampaignFile,
    Failure,
    Finished,
    NetworkRole,
    TrainingTask,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import Choices
from repvit_nas.searching.front import front_of, thinned
from repvit_nas.searching.improve import MOST, improve
from repvit_nas.searching.problem import Problem
from repvit_nas.searching.settings import Settings
from repvit_nas.shapes import Shapes, shapes_of

# Networks chosen at once, and trained before the model is fitted anew.
BATCH: Final = 8
# Held-out networks trained beside each batch, so that a campaign that ends early has some.
_BESIDE: Final = 2
# References that are always trained: those nearest to the band.
REFERENCES: Final = 3
# Random networks of the band that are looked at.
POOL: Final = 10_000
# Of so many networks a second training says what a seed does.
SECOND_SEEDS: Final = 6
_FROM_RANDOM: Final = 2
# The front of the search so far joins the candidates; it is improved for so long at most.
_IMPROVE_S: Final = 5.0
# Streams of the seed.
HELD_OUT_STREAM, POOL_STREAM = 1, 2


class CampaignState(NamedTuple):
    """How far a campaign is.

    Attributes:
        tasks: All that was asked for, in order.
        finished: Names of those that are trained, with their seconds.
        failed: Names of those that cannot be trained, with the reasons.
        observations: What the trained ones say, and what was imported.
    """

    tasks: tuple[TrainingTask, ...]
    finished: dict[str, float]
    failed: dict[str, str]
    observations: tuple[AccuracyObservation, ...]

    @property
    def open(self) -> list[TrainingTask]:
        """The tasks that are neither trained nor left out."""
        return [
            task
            for task in self.tasks
            if task.name not in self.finished and task.name not in self.failed
        ]

    @property
    def networks(self) -> int:
        """How many different networks a fit may see, failed ones not counted."""
        return len(
            {
                nameless(task.architecture)
                for task in self.tasks
                if task.role != "held out" and task.name not in self.failed
            }
        )


def state_of(
    lines: Sequence[TrainingTask | Failure | Finished], observations: Sequence[AccuracyObservation]
) -> CampaignState:
    """Put together what a campaign has written."""
    return CampaignState(
        tasks=tuple(each for each in lines if isinstance(each, TrainingTask)),
        finished={each.name: each.seconds for each in lines if isinstance(each, Finished)},
        failed={each.name: each.reason for each in lines if isinstance(each, Failure)},
        observations=tuple(observations),
    )


def references_of(band: Band, given: Sequence[Architecture]) -> list[Architecture]:
    """Return the reference networks nearest to the band, at its resolution and classes.

    Args:
        band: The band.
        given: The references; empty for the reference family, as far as the space has it.

    Raises:
        RepvitNasError: One that was given is not in the space.
    """
    found: list[tuple[float, Architecture]] = []
    for architecture in given or [each.architecture for each in family().values()]:
        try:
            priced = band.price(band.space.encode(architecture))
        except RepvitNasError as error:
            if given:
                raise RepvitNasError(f"reference {architecture.name!r}: {error}") from error
            continue
        share = float((priced.latency_ms[0] / band.budgets_ms).max())
        shaped = band.shapes(priced.choices).architecture(0, architecture.name)
        # One that keeps the budget comes before one that does not.
        found.append((1 - share if share <= 1 else share, shaped))
    unique = {nameless(each): (away, each) for away, each in sorted(found, key=lambda one: one[0])}
    return [each for _, each in sorted(unique.values(), key=lambda one: one[0])][:REFERENCES]


def held_out_of(
    band: Band, count: int, seed: int, references: Sequence[Architecture]
) -> tuple[Architecture, ...]:
    """Draw the networks that no fit will see.

    Raises:
        RepvitNasError: The band holds fewer.
    """
    rng = np.random.default_rng([seed, HELD_OUT_STREAM])
    drawn = band.draw(count + len(references), rng)
    shapes = band.shapes(drawn.choices)
    known = {nameless(each) for each in references}
    fresh = [shapes.architecture(row) for row in range(len(drawn.choices))]
    kept = [network for network in fresh if network not in known][:count]
    return tuple(
        msgspec.structs.replace(network, name=f"held-out-{number:02d}")
        for number, network in enumerate(kept)
    )


def task_of(
    role: NetworkRole, architecture: Architecture, seed: int, *, inherits: bool
) -> TrainingTask:
    """Return a training that is to be made."""
    return TrainingTask(f"{architecture.name}-seed-{seed}", architecture, seed, role, inherits)


def inherits(file: CampaignFile) -> bool:
    """Tell whether the trainings of a campaign start from other weights than random ones."""
    return file.asked.init != RANDOM


def first_tasks(file: CampaignFile) -> list[TrainingTask]:
    """Return the trainings that come before any choice: the donor, and the other references."""
    seed = file.asked.seed
    given = file.asked.init not in {DONOR, RANDOM}
    donor = task_of("donor", file.donor, seed, inherits=given)
    others = [each for each in file.references if nameless(each) != nameless(file.donor)]
    return [donor, *(task_of("reference", each, seed, inherits=inherits(file)) for each in others)]


def learned_from(file: CampaignFile, state: CampaignState, folder: Path) -> Learned:
    """Return what the campaign's observations say; before there are enough, what the family says."""
    seen = [observation for observation in state.observations if not observation.held_out]
    networks = {nameless(observation.architecture) for observation in seen}
    if len(networks) < FEWEST:
        return unseen(family_beside([file.donor, *file.references]))
    prior = family_beside([observation.architecture for observation in seen])
    return learn(prior, seen, responses(seen, folder))


class Candidates(NamedTuple):
    """The networks that a campaign chooses from.

    Attributes:
        choices: Rows of choices, `(n, parameters)`.
        shapes: The same as arrays.
    """

    choices: Choices
    shapes: Shapes


class _Believed:
    """What a campaign believes so far, as an estimator for a search."""

    name, meaning, digest = "campaign", "top-1 in %, so far", ""

    def __init__(self, learned: Learned, resolution: int) -> None:
        self.learned = learned
        self.resolution = resolution
        self._line = line(learned.effects)

    def observed(self, _: Architecture) -> Observed | None:
        """Say nothing: a search that only proposes does not ask."""
        return None

    def estimate(self, shapes: Shapes) -> AccuracyEstimate:
        """Estimate the accuracy of each network."""
        mean, variance = predict(self._line, self.learned.columns(shapes))
        return AccuracyEstimate(mean, np.sqrt(variance + self.learned.beyond))


def pool_of(band: Band, seed: int) -> Choices:
    """Draw the networks that a campaign looks at, or as many of them as the band holds."""
    rng = np.random.default_rng([seed, POOL_STREAM])
    return band.draw(POOL, rng, fewer=True).choices


def candidates_of(
    band: Band, predictors: Sequence[Predictor], learned: Learned, pool: Choices
) -> Candidates:
    """Return the pool, and the front of a search by what is believed so far."""
    settings = Settings(
        space=band.space.name,
        budgets_ms=dict(zip(band.devices, band.budgets_ms.tolist(), strict=True)),
        resolution=band.resolution,
        num_classes=band.num_classes,
        risk=0.0,
    )
    estimator: AccuracyEstimator = _Believed(learned, band.resolution)
    problem = Problem(band.space, predictors, estimator, settings)
    found = improve(problem, front_of(problem, pool), timeout_s=_IMPROVE_S).front
    front = thinned(found, MOST)  # every candidate costs time
    searched = band.price(front.choices)
    inside = searched.choices[band.holds(searched)]
    choices = np.unique(np.concatenate([pool, inside]), axis=0)
    return Candidates(choices, band.shapes(choices))


def next_batch(
    file: CampaignFile, state: CampaignState, learned: Learned, candidates: Candidates, most: int
) -> list[TrainingTask]:
    """Return the trainings that come next; none where all that was asked for is trained.

    Args:
        file: What the campaign was asked.
        state: How far it is.
        learned: What it believes.
        candidates: What it chooses from.
        most: How many different networks it may train in all, held-out ones not counted.
    """
    seed = file.asked.seed
    tasks: list[TrainingTask] = []
    count = min(BATCH, most - state.networks)
    if count > 0:
        tasks += _chosen(file, state, learned, candidates, count)
    tasks += _second_seeds(file, state, learned)
    drawn = sum(task.role == "held out" for task in state.tasks)
    beside = len(file.held_out) if count <= 0 else drawn + _BESIDE
    tasks += [
        task_of("held out", network, seed, inherits=inherits(file))
        for network in file.held_out[drawn:beside]
    ]
    return tasks


def _chosen(
    file: CampaignFile, state: CampaignState, learned: Learned, candidates: Candidates, count: int
) -> list[TrainingTask]:
    """Choose the networks that say most about which one is best."""
    known = {nameless(task.architecture) for task in state.tasks}
    known |= {nameless(network) for network in file.held_out}
    matrix = learned.columns(candidates.shapes)
    fresh = choose(learned.effects, matrix, learned.beyond, count + len(known))
    number = sum(task.role == "chosen" for task in state.tasks)
    tasks: list[TrainingTask] = []
    for row in fresh:
        network = candidates.shapes.architecture(row, f"chosen-{number + len(tasks):02d}")
        if nameless(network) not in known and len(tasks) < count:
            tasks.append(task_of("chosen", network, file.asked.seed, inherits=inherits(file)))
    return tasks


def _second_seeds(file: CampaignFile, state: CampaignState, learned: Learned) -> list[TrainingTask]:
    """Return second trainings of the networks that seem best, once enough are trained.

    They say what a seed does; where weights are inherited, the last of them start from random ones
    instead, and say what inheriting does.
    """
    if len(state.finished) < BATCH or any(task.role == "second seed" for task in state.tasks):
        return []
    trained = [
        task
        for task in state.tasks
        if task.name in state.finished and task.role in {"reference", "chosen"}
    ]
    mean = (
        learned.columns(shapes_of([task.architecture for task in trained])) @ learned.effects.mean
    )
    order = np.argsort(-mean, kind="stable")[:SECOND_SEEDS]
    tasks = []
    for number, row in enumerate(order):
        task = trained[int(row)]
        again = task.inherits and number < SECOND_SEEDS - _FROM_RANDOM
        tasks.append(task_of("second seed", task.architecture, file.asked.seed + 1, inherits=again))
    return tasks


class Verdict(NamedTuple):
    """Whether a campaign goes on.

    Attributes:
        reason: Why it ends; empty where it goes on.
        regret: How far the best candidate is expected to be ahead of the one that seems best.
    """

    reason: str
    regret: float


def verdict(learned: Learned, candidates: Candidates, networks: int, most: int) -> Verdict:
    """Say whether another batch is worth its time.

    It is not where what could be gained by knowing everything is less than what a second training of
    the same network changes.
    """
    regret = expected_regret(learned.effects, learned.columns(candidates.shapes))
    if networks >= most:
        return Verdict(f"{networks} networks are trained, as many as asked for", regret)
    least = REFERENCES + BATCH
    apart = math.sqrt(2.0) * learned.noise
    if networks >= least and regret < learned.noise:
        return Verdict(
            f"settled: the best network is expected {regret:.2f} points ahead of the one that seems "
            f"best, less than two trainings of one network are apart ({apart:.2f})",
            regret,
        )
    return Verdict("", regret)
