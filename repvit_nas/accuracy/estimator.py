"""The contract of accuracy estimators: arrays of architectures in, mean and deviation out."""

from typing import Final, NamedTuple, Protocol

from repvit_nas.shapes import Floats, Shapes

_USUAL_RESOLUTION: Final = 224


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


def meaning_at(estimator: AccuracyEstimator, resolution: int) -> str:
    """Say what an estimate is of, for networks at `resolution` px.

    Away from 224 px it is not the accuracy of a network trained there and tested elsewhere.
    """
    if resolution == _USUAL_RESOLUTION:
        return estimator.meaning
    return f"{estimator.meaning}; trained and tested at {resolution} px"
