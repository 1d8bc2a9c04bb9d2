"""How far off an estimator is, on networks that no fit saw, beside what needs no training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from repvit_nas.accuracy.comparison import PICKED, Ranking, inside, rank
from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.accuracy.features import describe
from repvit_nas.accuracy.observations import AccuracyObservation, nameless
from repvit_nas.accuracy.regression import line, predict
from repvit_nas.accuracy.responses import responses
from repvit_nas.accuracy.trained import TrainedEstimator
from repvit_nas.architecture import Architecture
from repvit_nas.errors import RepvitNasError
from repvit_nas.shapes import Floats, shapes_of
from repvit_nas.units import rows

VALIDATION_FILE: Final = "validation.json"
# The names of the scores in their order.
ESTIMATOR, FAMILY_ALONE = "estimator", "family alone"
WEIGHTED_MACS, MACS, PARAMS = "share-weighted log-MACs", "MACs", "parameters"
LATENCY: Final = "latency"
SEEDS: Final = "one seed by another"
# Fewer networks rank nothing.
FEWEST_NETWORKS: Final = 5


class AccuracyValidation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `validation.json` of an estimator (schema 1).

    Attributes:
        name: The estimator.
        meaning: What it speaks of.
        networks: How many networks it was compared on, none of which a fit saw.
        trainings: Of how many trainings their accuracies are means.
        rankings: How each score ranks them.
        coverage: Share of the networks whose accuracy is in its 90 % interval.
        coverage_family: The same of the family alone, its level moved to these networks'.
        picked: How many are picked where precision is asked.
        level: By how many points the estimates were moved as a whole before coverage was taken,
            where the accuracies are of another recipe; None where they were not.
    """

    schema: int = 1
    name: str
    meaning: str
    networks: int
    trainings: int
    rankings: dict[str, Ranking]
    coverage: float
    coverage_family: float
    picked: int = PICKED
    level: float | None = None


class Truth(msgspec.Struct, frozen=True):
    """What was found of held-out networks.

    Attributes:
        networks: The networks.
        points: Their accuracies in points, means of their trainings, `(n,)`.
        trainings: Of how many trainings, `(n,)`.
        by_seed: Accuracies with the first seed and with the second, `(2, m)`, of those that have both.
    """

    networks: tuple[Architecture, ...]
    points: Floats
    trainings: Floats
    by_seed: Floats


def truth_of(observations: Sequence[AccuracyObservation], folder: Path | None) -> Truth:
    """Put together what trainings of the same networks say.

    Args:
        observations: Of the held-out networks alone.
        folder: Where the losses of their images are.
    """
    found = responses(observations, folder).points
    keys = [nameless(observation.architecture) for observation in observations]
    networks = tuple(dict.fromkeys(keys))
    of_network = {key: [row for row, other in enumerate(keys) if other == key] for key in networks}
    pairs = [[float(row) for row in found[of_network[key][:2]]] for key in networks]
    return Truth(
        networks=networks,
        points=np.array([found[of_network[key]].mean() for key in networks]),
        trainings=np.array([len(of_network[key]) for key in networks], dtype=np.float64),
        by_seed=np.array([pair for pair in pairs if len(pair) == 2]).reshape(-1, 2).T,
    )


def validate(
    estimator: TrainedEstimator,
    truth: Truth,
    *,
    other_scores: dict[str, Floats] | None = None,
    other_recipe: bool = False,
) -> AccuracyValidation:
    """Compare an estimator with networks that it never saw.

    Args:
        estimator: The estimator.
        truth: The networks, at least `FEWEST_NETWORKS` of them.
        other_scores: More scores to rank by, more is better, such as latencies.
        other_recipe: Whether the accuracies are of another recipe, whose level the estimator cannot
            know: it is moved as a whole.

    Raises:
        RepvitNasError: There are too few networks to tell anything.
    """
    count = len(truth.networks)
    if count < FEWEST_NETWORKS:
        raise RepvitNasError(
            f"{estimator.name}: {count} held-out networks tell nothing of an estimator; at least "
            f"{FEWEST_NETWORKS} are needed"
        )
    shapes = shapes_of(truth.networks)
    learned = estimator.learned
    mean, variance = predict(line(learned.effects), learned.columns(shapes))
    std = np.sqrt(variance + learned.misfit**2 + learned.noise**2 / truth.trainings)
    level = float((truth.points - mean).mean()) if other_recipe else None
    family = load_family_estimator().estimate(shapes)
    described = describe(shapes)
    scores = {
        ESTIMATOR: mean,
        FAMILY_ALONE: family.mean,
        WEIGHTED_MACS: described.log_macs @ described.share,
        MACS: np.array([float(sum(unit.macs for unit in rows(each))) for each in truth.networks]),
        PARAMS: np.array(
            [float(sum(unit.params for unit in rows(each))) for each in truth.networks]
        ),
        **(other_scores or {}),
    }
    rankings = {name: rank(score, truth.points) for name, score in scores.items()}
    if truth.by_seed.shape[1] >= FEWEST_NETWORKS:
        rankings[SEEDS] = rank(truth.by_seed[0], truth.by_seed[1])
    moved = family.mean + (truth.points - family.mean).mean()
    return AccuracyValidation(
        name=estimator.name,
        meaning=estimator.meaning,
        networks=count,
        trainings=int(truth.trainings.sum()),
        rankings=rankings,
        coverage=float(inside(mean + (level or 0.0), std, truth.points).mean()),
        coverage_family=float(inside(moved, family.std, truth.points).mean()),
        level=level,
    )
