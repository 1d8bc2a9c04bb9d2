"""An estimator that learns from trainings on one data set, with the family as its prior.

    response = scale * (what the family says of the shape) + level + slope * compute
               + what a short training credits too much + donor + misfit + noise

What the family knows of shapes (`features.py`, `priors.py`) is the prior, multiplied by a scale: a
data set may spread networks more or less than ImageNet does. Level, slope on compute and the worth of
the stages are known less well elsewhere (`priors.elsewhere`). The scale, how freely shapes may be worth
something else, and how far networks are off any such description (the misfit) are averaged over what the
observations make likely. What two trainings of one network differ by is the noise. Compute counts in
octaves from the data set's own usual network: an octave is worth there what it is worth to the family
at a thousand million MACs, times the scale.
"""

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from repvit_nas.accuracy.features import columns, describe, stage_weights
from repvit_nas.accuracy.observations import RANDOM, AccuracyObservation, nameless
from repvit_nas.accuracy.priors import CURVED, SHAPE_FEATURES, elsewhere
from repvit_nas.accuracy.regression import Conditioned, Normal, condition, mixed
from repvit_nas.accuracy.responses import Responses
from repvit_nas.shapes import Floats, Shapes, shapes_of

# How much more or less another data set may spread networks; each as likely before.
SCALES: Final = (0.1, 0.2, 0.35, 0.6, 1.0, 1.7, 3.0)
# How much freer than on ImageNet shapes may be worth something else; each as likely before.
FREEDOMS: Final = (1.0, 2.0, 4.0)
# How far networks are off what the features can say, as a share of the responses' deviation.
MISFITS: Final = (0.1, 0.2, 0.35, 0.6, 1.0)
# Two trainings of one network, before any pair was seen: deviation in points, worth so many pairs.
_NOISE_BEFORE, _PAIRS_BEFORE = 0.4, 2.0
# What a short annealed training credits of an effect (Accel-NASBench, short against full schedule).
_CREDITS: Final = {"depth": 0.91, "se": 0.81, "expansion": 1.14, "kernel": 1.42}
# How far such a credit may be from that on other images, as a share of the effect's own deviation.
_CREDIT_STD: Final = 0.25
# Inheriting favours networks near the donor, by so many points an octave: -0.2 ± 0.4.
_DONOR: Final = (-0.2, 0.4)
# A training from random weights ends lower than one that inherits, by an amount nobody knows.
_START_STD: Final = 10.0
_DEPTHS: Final = ("depth_0", "depth_1", "depth_3", "aspect")


class Learned(NamedTuple):
    """What observations say of the shape features, for one data set and recipe.

    Attributes:
        exponent: Of the compute term.
        usual: Compute of the data set's usual network, in octaves above a thousand million MACs.
        effects: Of `SHAPE_FEATURES`, of the whole training where the observations are of a short one.
        misfit: How far a network is off what its features say, in points.
        noise: How far two trainings of one network are apart, as a deviation of one of them.
    """

    exponent: float
    usual: float
    effects: Normal
    misfit: float
    noise: float

    @property
    def beyond(self) -> float:
        """Variance of one training's accuracy that no feature explains."""
        return self.misfit**2 + self.noise**2

    def columns(self, shapes: Shapes) -> Floats:
        """Return the features of networks, `(n, len(SHAPE_FEATURES))`."""
        return features(shapes, self.exponent, self.usual)


def features(shapes: Shapes, exponent: float, usual: float) -> Floats:
    """Return the features of networks beside a usual one, `(n, len(SHAPE_FEATURES))`.

    Args:
        shapes: The networks.
        exponent: Of the compute term.
        usual: Compute of the usual one, in octaves above a thousand million MACs.
    """
    described = describe(shapes)
    return columns(described._replace(log_macs=described.log_macs - usual), exponent)


def usual_compute(shapes: Shapes) -> float:
    """Return the compute of the usual one of some networks, in octaves above a thousand million."""
    described = describe(shapes)
    return float(np.median(described.log_macs @ stage_weights(described.share)))


class FamilyAt(NamedTuple):
    """What the family says, beside a usual network.

    Attributes:
        exponent: Of the compute term.
        effects: Of `SHAPE_FEATURES`.
        usual: Compute of the usual network, in octaves above a thousand million MACs.
    """

    exponent: float
    effects: Normal
    usual: float


def unseen(family: FamilyAt) -> Learned:
    """Return what is believed before the first observation."""
    prior = _prior(family.effects, 1.0, (), 50.0)
    return Learned(family.exponent, family.usual, prior, _NOISE_BEFORE, _NOISE_BEFORE)


def learn(
    family: FamilyAt,
    observations: Sequence[AccuracyObservation],
    found: Responses,
    scales: Sequence[float] = SCALES,
) -> Learned:
    """Fit the model to the observations of one data set and recipe.

    Args:
        family: The prior.
        observations: Those that the fit may see, at least one.
        found: What they say.
        scales: Candidates for how much the data set spreads networks.
    """
    size = len(SHAPE_FEATURES)
    matrix, added = _matrix(family, observations)
    noise = _noise(observations, found.points)
    same = _same_network(observations)
    level = float(found.points.mean())
    spread = max(float(found.points.std()), noise)
    parts, misfits = [], []
    for scale, freedom, share in itertools.product(scales, FREEDOMS, MISFITS):
        prior = _prior(_freed(family.effects, freedom), scale, added, level)
        misfit = share * spread
        doubt = found.covariance + misfit**2 * same + noise**2 * np.eye(len(same))
        given, evidence = condition(prior, matrix, found.points, doubt)
        shape = Normal(given.mean[:size], given.covariance[:size, :size])
        parts.append(Conditioned(shape, evidence))
        misfits.append(misfit)
    effects, weight = mixed(parts)
    misfit = float(np.sqrt(weight @ np.square(misfits)))
    return Learned(family.exponent, family.usual, effects, misfit, noise)


def _matrix(
    family: FamilyAt, observations: Sequence[AccuracyObservation]
) -> tuple[Floats, list[str]]:
    """Return the columns of the observations, and the names of those that are no shape feature."""
    shapes = shapes_of([each.architecture for each in observations])
    shape = features(shapes, family.exponent, family.usual)
    short = np.array([each.short for each in observations])
    credited = {name: _credit(name) for name in SHAPE_FEATURES if _credit(name) != 1.0}
    extra, names = [], []
    if short.any():
        for name, credit in credited.items():
            place = SHAPE_FEATURES.index(name)
            extra.append(np.where(short, shape[:, place], 0.0))
            names.append(f"short {name}")
            shape[:, place] *= np.where(short, credit, 1.0)
    if any(each.donor for each in observations):
        extra.append(np.array([donor_distance(each) for each in observations]))
        extra.append(np.array([float(each.start == RANDOM) for each in observations]))
        names += ["donor", "random start"]
    return np.column_stack([shape, *extra]), names


def _credit(feature: str) -> float:
    """Return what a short training credits of an effect: 1 for most."""
    if feature in _DEPTHS:
        return _CREDITS["depth"]
    for kind in ("se", "expansion", "kernel"):
        if feature == kind or feature.startswith(f"{kind}_"):
            return _CREDITS[kind]
    return 1.0


def donor_distance(observation: AccuracyObservation) -> float:
    """Return how far a network is from the one whose weights it inherited, in octaves.

    The root of the sum of squares over what sets a shape apart: compute of the stages, growth of the
    widths, depths, expansions; 0 without a donor.
    """
    if observation.donor is None:
        return 0.0
    described = describe(shapes_of([observation.architecture, observation.donor]))
    apart = [np.diff(described.log_macs, axis=0)[0], np.diff(described.off_curve, axis=0)[0]]
    return float(np.sqrt(np.square(np.concatenate(apart)).sum()))


def _noise(observations: Sequence[AccuracyObservation], points: Floats) -> float:
    """Return how far two trainings of one network are apart, as a deviation of one of them."""
    groups: dict[object, list[float]] = {}
    for observation, value in zip(observations, points, strict=True):
        key = (nameless(observation.architecture), observation.start)
        groups.setdefault(key, []).append(float(value))
    several = [np.array(values) for values in groups.values() if len(values) > 1]
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in several)
    freedom = sum(len(values) - 1 for values in several)
    before = _PAIRS_BEFORE * _NOISE_BEFORE**2
    return float(np.sqrt((before + squares) / (_PAIRS_BEFORE + freedom)))


def _same_network(observations: Sequence[AccuracyObservation]) -> Floats:
    """Return 1 where two observations are of one network, which is off by the same misfit."""
    keys = [nameless(observation.architecture) for observation in observations]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    network = np.array([numbers[key] for key in keys])
    return np.asarray(network[:, None] == network, dtype=np.float64)


def _freed(family: Normal, freedom: float) -> Normal:
    """Return the family's effects with those of shapes so many times less certain."""
    wider = np.array([freedom if _is_shape(name) else 1.0 for name in SHAPE_FEATURES])
    return Normal(family.mean, family.covariance * np.outer(wider, wider))


def _is_shape(feature: str) -> bool:
    return feature.removesuffix("_squared") in CURVED


def _prior(family: Normal, scale: float, added: Sequence[str], level: float) -> Normal:
    """Return what is believed of all columns before the observations.

    Args:
        family: What the family says of `SHAPE_FEATURES`.
        scale: How much more this data set spreads networks than ImageNet.
        added: The names of the columns behind the shape features.
        level: What the accuracies are about; nothing is known of it before.
    """
    moved = elsewhere(family)
    place = SHAPE_FEATURES.index("limit")
    mean, covariance = scale * moved.mean, scale**2 * moved.covariance
    covariance[place, place] += 100.0**2
    mean[place] = level
    size = len(mean)
    whole = Normal(
        np.concatenate([mean, np.zeros(len(added))]),
        np.pad(covariance, (0, len(added))),
    )
    for number, name in enumerate(added, start=size):
        kind, _, feature = name.partition(" ")
        if kind == "short":
            own = covariance[SHAPE_FEATURES.index(feature), SHAPE_FEATURES.index(feature)]
            whole.covariance[number, number] = _CREDIT_STD**2 * own
        elif kind == "donor":
            whole.mean[number] = scale * _DONOR[0]
            whole.covariance[number, number] = (scale * _DONOR[1]) ** 2
        else:
            whole.covariance[number, number] = _START_STD**2
    return whole
