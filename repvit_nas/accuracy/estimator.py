"""The contract of accuracy estimators: arrays of architectures in, mean and deviation out."""

from typing import NamedTuple, Protocol

from repvit_nas.shapes import Floats, Shapes


class AccuracyEstimate(NamedTuple):
    """Estimated accuracies in percent, `(n,)`, and their standard deviations."""

    mean: Floats
    std: Floats


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

    def estimate(self, shapes: Shapes) -> AccuracyEstimate:
        """Estimate the accuracy of each network of `shapes`."""
