"""Estimator `family`: ImageNet-1k top-1 learned from the published RepViT results.

The published networks are one curve through the space: a power law in the compute of a network
describes them to 0.1 points, and says nothing of networks off the curve. So the estimate is a
Bayesian linear model of interpretable features of a network's shape:

    top1 = a - b * 2^(-g z) + sum over shape features of effect * feature + noise

`z` is the compute in octaves, as the mean over the stages of log2 MACs, each stage weighed by its
share of the family's compute: channels piled into one stage count ever less. The shape features
are 0 on the curve (widths that double, depths around 2:2:14:2, expansion 2, every other block with
SE). Their effects have wide priors around 0 and little data, so the deviation grows with every
octave away from the curve. Priors and what they rest on are listed in `docs/accuracy-model.md`.
"""

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from repvit_nas.accuracy.estimator import AccuracyEstimate
from repvit_nas.accuracy.regression import Normal, condition, independent, line, predict
from repvit_nas.search_space.family import TARGET_RECIPE, PublishedAccuracy, published_accuracies
from repvit_nas.shapes import Floats, Shapes, shapes_of
from repvit_nas.units import stage_sizes

# Share of the four stages in the MACs of M0.9 to M2.3, rounded; see docs/accuracy-model.md.
STAGE_SHARE: Final = np.array([0.09, 0.16, 0.61, 0.14])
# Candidates for the exponent g; the likelihood of the published results decides.
EXPONENTS: Final = tuple(np.round(np.arange(0.3, 1.5, 0.1), 1))
# Two trainings of one network differ by 0.1 points (M2 and M1.1, arXiv:2307.09283 logs); the rest
# is what the older depthwise branch and two rounded decimals add.
NOISE: Final = 0.15
# Aspect (blocks per channel of the first stage) of M1.0, where the feature is 0.
_ASPECT: Final = 23 / 56
_ODD_BITS: Final = np.uint64(0x5555_5555_5555_5555)
_EVEN_BITS: Final = np.uint64(0xAAAA_AAAA_AAAA_AAAA)


class Prior(NamedTuple):
    """A normal prior of one effect, in points."""

    mean: float
    std: float


# Per octave away from the family's curve, and per octave squared. No published result says what a
# change of one of these does; the deviations are what such changes move in published ablations.
SLOPE: Final = Prior(0.0, 0.6)
CURVATURE: Final = Prior(-0.3, 0.5)
CURVED: Final = (
    "growth_1",
    "growth_2",
    "growth_3",
    "depth_0",
    "depth_1",
    "depth_3",
    "aspect",
    "expansion_0",
    "expansion_1",
    "expansion_2",
    "expansion_3",
)
PRIORS: Final[dict[str, Prior]] = {
    "limit": Prior(85.0, 3.0),
    "compute": Prior(5.0, 3.0),
    **dict.fromkeys(CURVED, SLOPE),
    **{f"{name}_squared": CURVATURE for name in CURVED},
    "se": Prior(0.4, 0.4),
    "se_squared": Prior(-0.4, 0.4),
    **{f"se_{stage}": Prior(0.0, 0.2) for stage in range(4)},
    "se_irregular": Prior(0.0, 0.3),
    "kernel": Prior(0.1, 0.3),
    "resolution": Prior(2.0, 1.5),
    "resolution_squared": Prior(-1.0, 1.0),
    # Effects of recipes and families, each also in proportion to the compute term.
    "distilled-450": Prior(0.4, 0.5),
    "distilled-450 compute": Prior(0.0, 0.5),
    "plain-300": Prior(-1.2, 1.0),
    "plain-300 compute": Prior(0.0, 0.5),
    "repnext": Prior(0.0, 0.3),
    "repnext compute": Prior(0.0, 0.3),
}
# The features that describe a network; the rest describe how a published row was made.
SHAPE_FEATURES: Final = tuple(PRIORS)[: list(PRIORS).index("distilled-450")]


def _stage_log_macs(shapes: Shapes) -> Floats:
    """Return log2 of the MACs of each stage with its opening at 224 px, `(n, 4)`.

    Only pointwise convolutions count; depthwise and SE are a few percent and no capacity.
    """
    width = shapes.width.astype(np.float64)
    hidden = np.rint(width * shapes.expansion)
    area = np.array(stage_sizes(224), dtype=np.float64) ** 2
    macs = shapes.depth * 2 * width * hidden * area
    before, after = width[:, :-1], width[:, 1:]
    pre_block = 2 * before * np.rint(before * shapes.expansion[:, 1:]) * area[:-1]
    opening = before * after * area[1:] + 2 * after * hidden[:, 1:] * area[1:]
    macs[:, 1:] += pre_block + opening
    return np.asarray(np.log2(macs))


def compute_octaves(shapes: Shapes) -> Floats:
    """Return the compute `z` in octaves above a thousand million MACs, `(n,)`."""
    # The entropy makes z the log of the total where the shares are the family's.
    entropy = -float(np.sum(STAGE_SHARE * np.log2(STAGE_SHARE)))
    return np.asarray((_stage_log_macs(shapes) - np.log2(1e9)) @ STAGE_SHARE + entropy)


def shape_deviations(shapes: Shapes) -> Floats:
    """Return how far networks are from the family's curve, `(n, len(CURVED))` in octaves."""
    log_width = np.log2(shapes.width)
    growth = np.diff(log_width, axis=1) - 1.0
    depth = shapes.depth
    ratio = np.log2(depth[:, [0, 1, 3]] + 1.0) - np.log2(depth[:, [2]] + 2.0) - np.log2(3 / 16)
    aspect = np.log2(depth.sum(axis=1) + 3.0) - log_width[:, 0] - np.log2(_ASPECT)
    expansion = np.log2(shapes.expansion / 2.0)
    return np.concatenate([growth, ratio, aspect[:, None], expansion], axis=1)


def features(shapes: Shapes, exponent: float) -> Floats:
    """Return the shape features of networks, `(n, len(SHAPE_FEATURES))`."""
    deviations = shape_deviations(shapes)
    se = 2.0 * shapes.se_blocks / shapes.depth - 1.0
    total = 2.0 * shapes.se_blocks.sum(axis=1) / shapes.depth.sum(axis=1) - 1.0
    octaves = np.log2(shapes.resolution / 224.0)
    columns = np.empty((len(total), len(SHAPE_FEATURES)))
    columns[:, 0] = 1.0
    columns[:, 1] = -np.exp2(-exponent * compute_octaves(shapes))
    n = len(CURVED)
    columns[:, 2 : 2 + n] = deviations
    columns[:, 2 + n : 2 + 2 * n] = deviations**2
    columns[:, 2 + 2 * n] = total
    columns[:, 3 + 2 * n] = total**2
    columns[:, 4 + 2 * n : 8 + 2 * n] = se - total[:, None]
    columns[:, 8 + 2 * n] = _se_irregular(shapes)
    columns[:, 9 + 2 * n] = np.log2(shapes.kernel / 3.0).mean(axis=1)
    columns[:, 10 + 2 * n] = octaves
    columns[:, 11 + 2 * n] = octaves**2
    return columns


def _se_irregular(shapes: Shapes) -> Floats:
    """Return the share of blocks in stages whose SE follows none of the patterns, `(n,)`.

    The published networks say nothing of other placements of the same number of SE.
    """
    depth = shapes.depth.astype(np.uint64)
    one = np.uint64(1)
    every = (one << depth) - one
    # Every other block starting with the first, which is the highest of `depth` bits.
    alternate = np.where(depth % np.uint64(2), _ODD_BITS, _EVEN_BITS) & every
    regular = (shapes.se == 0) | (shapes.se == every) | (shapes.se == alternate)
    irregular = np.where(regular, 0, shapes.depth).sum(axis=1)
    return np.asarray(irregular / shapes.depth.sum(axis=1))


def _row_features(rows: Sequence[PublishedAccuracy], exponent: float) -> Floats:
    """Return the features of published rows, `(n, len(PRIORS))`."""
    shape = features(shapes_of([row.architecture for row in rows]), exponent)
    compute = shape[:, 1]
    columns = [shape]
    for name in ("distilled-450", "plain-300", "repnext"):
        marked = np.array([float(name in (row.recipe, row.family)) for row in rows])
        columns.append(np.stack([marked, marked * compute], axis=1))
    return np.concatenate(columns, axis=1)


class Posterior(NamedTuple):
    """A fitted model: the exponent, and what is known of the effects."""

    exponent: float
    effects: Normal
    log_evidence: float


def prior() -> Normal:
    """Return the prior of the effects, in the order of `PRIORS`."""
    mean, std = np.array(list(PRIORS.values())).T
    return independent(mean, std)


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
    """ImageNet-1k top-1 after 300 distilled epochs, learned from the published family."""

    name = "family"
    meaning = "ImageNet-1k top-1 in %, 300 epochs, distilled, estimated"

    def __init__(self, rows: Sequence[PublishedAccuracy] | None = None) -> None:
        self.posterior = fit(published_accuracies() if rows is None else rows)
        size = len(SHAPE_FEATURES)
        mean, covariance = self.posterior.effects
        self._line = line(Normal(mean[:size], covariance[:size, :size]))

    def estimate(self, shapes: Shapes) -> AccuracyEstimate:
        """Estimate top-1 of each network; the deviation includes the noise of one training."""
        mean, variance = predict(self._line, features(shapes, self.posterior.exponent))
        return AccuracyEstimate(mean, np.sqrt(variance + NOISE**2))


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
