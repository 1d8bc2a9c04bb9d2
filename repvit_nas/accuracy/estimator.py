"""The contract of accuracy estimators: arrays of architectures in, mean and deviation out."""

from typing import Literal, NamedTuple, Protocol

import numpy as np

from repvit_nas.architecture import LOGITS, OUTPUTS, Architecture, OutputKind
from repvit_nas.shapes import Floats, Shapes


class AccuracyEstimate(NamedTuple):
    """Estimated accuracies in percent, `(n,)`, and their standard deviations."""

    mean: Floats
    std: Floats


AccuracySource = Literal["published", "trained here", "imported", "estimated"]


class Observed(NamedTuple):
    """What was seen of one network under the circumstances that an estimator speaks of.

    Attributes:
        top1: Mean accuracy in percent.
        trainings: Of how many trainings.
        source: Where it comes from.
    """

    top1: float
    trainings: int
    source: AccuracySource


class AccuracyEstimator(Protocol):
    """Says how accurate networks would be, and how sure it is.

    An estimator may train networks or look at weights; the search only sees this.
    """

    @property
    def name(self) -> str:
        """What to call the estimator in a result."""

    @property
    def meaning(self) -> str:
        """What the accuracy is of: data set, epochs, recipe."""

    @property
    def resolution(self) -> int:
        """The input side in pixels that `meaning` speaks of."""

    @property
    def digest(self) -> str:
        """A digest of everything that decides what it estimates."""

    def observed(self, architecture: Architecture) -> Observed | None:
        """Return what was seen of a network, or None where it is only estimated."""

    def estimate(self, shapes: Shapes) -> AccuracyEstimate:
        """Estimate the accuracy of each network of `shapes`."""


class JointEstimator(AccuracyEstimator, Protocol):
    """An estimator that knows as well what its estimates are wrong by in common."""

    def covariance(self, shapes: Shapes) -> Floats:
        """Return how the errors of the estimates go together, `(n, n)` in points squared.

        The diagonal is the square of the deviations that `estimate` states.
        """


def as_judged(estimator: AccuracyEstimator, shapes: Shapes) -> Shapes:
    """Return networks as an estimator judges them.

    Of those that hand back maps nothing is known but how accurate classifiers with the same stages
    are: that stands in for it, at the resolution that the estimator speaks of.
    """
    maps = shapes.output != OUTPUTS.index(LOGITS)
    if not maps.any():
        return shapes
    return shapes._replace(resolution=np.where(maps, estimator.resolution, shapes.resolution))


def estimate(estimator: AccuracyEstimator, shapes: Shapes) -> AccuracyEstimate:
    """Estimate the accuracy of networks; see :func:`as_judged`."""
    return estimator.estimate(as_judged(estimator, shapes))


def meaning_at(estimator: AccuracyEstimator, resolution: int, output: OutputKind = LOGITS) -> str:
    """Say what an estimate is of, for networks at `resolution` px.

    At another one than the estimator's own it is not the accuracy of a network trained at the one and
    tested at the other. Of networks that hand back maps it is a stand-in.
    """
    if output != LOGITS:
        return f"{estimator.meaning}, at {estimator.resolution} px: a stand-in for {output}"
    if resolution == estimator.resolution:
        return estimator.meaning
    return f"{estimator.meaning}; trained and tested at {resolution} px"
