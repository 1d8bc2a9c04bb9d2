"""Estimator `family`: ImageNet-1k top-1 learned from the published RepViT results.

The published networks are one curve through the space: a power law in the compute of a network
describes them to 0.1 points, and says nothing of networks off the curve. So the estimate is a
Bayesian linear model of interpretable features of a network's shape (`features.py`), whose priors say
what trainings of other networks tell of shapes off the curve (`priors.py`). The shape features are 0
on the curve (widths that double, depths around 2:2:14:2, expansion 2, every other block with SE), so
the deviation grows with every octave away from it.
"""

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.accuracy.estimator import AccuracyEstimate, Observed
from repvit_nas.accuracy.features import columns, describe
from repvit_nas.accuracy.observations import nameless
from repvit_nas.accuracy.priors import NOISE, PRIORS, SHAPE_FEATURES, prior
from repvit_nas.accuracy.regression import Normal, condition, covariance, line, predict
from repvit_nas.architecture import Architecture
from repvit_nas.search_space.family import TARGET_RECIPE, PublishedAccuracy, published_accuracies
from repvit_nas.shapes import Floats, Shapes, shapes_of

# Candidates for the exponent g; the likelihood of the published results decides.
EXPONENTS: Final = tuple(np.round(np.arange(0.3, 1.5, 0.1), 1))
# What the estimates rest on, for captions.
RESTS_ON: Final = (
    "They rest on the published results of RepViT and RepNeXt; off their curve of shapes, on priors judged "
    "from 10,213 published trainings of other networks (docs/accuracy-model.md). None was trained for this"
)


def _row_features(rows: Sequence[PublishedAccuracy], exponent: float) -> Floats:
    """Return the features of published rows, `(n, len(PRIORS))`."""
    shape = columns(describe(shapes_of([row.architecture for row in rows])), exponent)
    compute = shape[:, 1]
    found = [shape]
    for name in ("distilled-450", "plain-300", "repnext"):
        marked = np.array([float(name in (row.recipe, row.family)) for row in rows])
        found.append(np.stack([marked, marked * compute], axis=1))
    return np.concatenate(found, axis=1)


class Posterior(NamedTuple):
    """A fitted model: the exponent, and what is known of the effects of `PRIORS`."""

    exponent: float
    effects: Normal
    log_evidence: float

    @property
    def shape(self) -> Normal:
        """What is known of the effects of `SHAPE_FEATURES` alone, by the target recipe."""
        size = len(SHAPE_FEATURES)
        return Normal(self.effects.mean[:size], self.effects.covariance[:size, :size])


def fit(rows: Sequence[PublishedAccuracy]) -> Posterior:
    """Fit the model to published rows; the exponent with the largest evidence is taken."""
    return max(
        (_posterior(rows, float(exponent)) for exponent in EXPONENTS),
        key=lambda posterior: posterior.log_evidence,
    )


def _posterior(rows: Sequence[PublishedAccuracy], exponent: float) -> Posterior:
    top1 = np.array([row.top1 for row in rows])
    noise = np.full(len(rows), NOISE**2)
    effects, evidence = condition(prior(), _row_features(rows, exponent), top1, noise)
    return Posterior(exponent, effects, evidence)


class FamilyEstimator:
    """ImageNet-1k top-1 after 300 distilled epochs, learned from the published family.

    At another resolution than 224 px it is the top-1 of the network trained and tested at that
    resolution by the same recipe, not of a network trained at 224 px and tested at another.
    """

    name = "family"
    meaning = "ImageNet-1k top-1 in %, 300 epochs, distilled, estimated"
    resolution = 224

    def __init__(self, rows: Sequence[PublishedAccuracy] | None = None) -> None:
        self.posterior = fit(published_accuracies() if rows is None else rows)
        self._line = line(self.posterior.shape)

    @property
    def digest(self) -> str:
        """A digest of the published results and of the priors."""
        return files.digest(msgspec.json.encode([published_accuracies(), PRIORS]))

    def observed(self, architecture: Architecture) -> Observed | None:
        """Return what was published of a network by the target recipe."""
        top1 = _published().get(nameless(architecture))
        return None if top1 is None else Observed(top1, 1, "published")

    def estimate(self, shapes: Shapes) -> AccuracyEstimate:
        """Estimate top-1 of each network; the deviation includes the noise of one training."""
        mean, variance = predict(self._line, columns(describe(shapes), self.posterior.exponent))
        return AccuracyEstimate(mean, np.sqrt(variance + NOISE**2))

    def covariance(self, shapes: Shapes) -> Floats:
        """Return the covariance of the estimates' errors; the noise is each training's own."""
        found = columns(describe(shapes), self.posterior.exponent)
        return covariance(self._line, found) + NOISE**2 * np.eye(len(found))


@functools.lru_cache(maxsize=1)
def _published() -> dict[Architecture, float]:
    """Return the top-1 that was published of RepViT's networks by the target recipe, the first of each."""
    rows = [row for row in published_accuracies() if row.recipe == TARGET_RECIPE]
    return {nameless(row.architecture): row.top1 for row in rows[::-1] if row.family == "repvit"}


@functools.lru_cache(maxsize=1)
def load_family_estimator() -> FamilyEstimator:
    """Fit the estimator to the shipped results once."""
    return FamilyEstimator()


class LeftOut(NamedTuple):
    """One published row and what an estimator says that never saw its network."""

    row: PublishedAccuracy
    mean: float
    std: float


def leave_one_out() -> list[LeftOut]:
    """Predict every row of the target recipe by a fit without any row of a network of its shape.

    Several published networks share widths and depths: SE variants, older forms, RepNeXt.
    """
    rows = published_accuracies()
    left_out = []
    for row in rows:
        shape = (row.width, row.depth)
        if row.recipe == TARGET_RECIPE and row.family == "repvit":
            others = [other for other in rows if (other.width, other.depth) != shape]
            estimate = FamilyEstimator(others).estimate(shapes_of([row.architecture]))
            left_out.append(LeftOut(row, float(estimate.mean[0]), float(estimate.std[0])))
    return left_out
