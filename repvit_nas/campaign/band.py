"""The latency band of a campaign: which networks are in it, and random ones of them."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.search_space.space import Choices, Space
from repvit_nas.searching.tables import PriceTable
from repvit_nas.shapes import Floats, Shapes

# Rows drawn at once, and how often that is tried before a band counts as empty.
_DRAWN: Final = 16_384
_TRIES: Final = 64
# So many of the nearest networks are named where a band is empty.
_NEAREST: Final = 3


class Priced(NamedTuple):
    """Networks with what they cost.

    Attributes:
        choices: Rows of choices, `(n, parameters)`.
        latency_ms: On each device, `(n, devices)`.
        macs: Multiply-accumulates, `(n,)`.
        params: Parameters of the fused network, `(n,)`.
    """

    choices: Choices
    latency_ms: Floats
    macs: Floats
    params: Floats

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Priced":
        """Return some of them."""
        return Priced(self.choices[rows], self.latency_ms[rows], self.macs[rows], self.params[rows])

    def and_then(self, other: "Priced") -> "Priced":
        """Return these networks and others behind them."""
        return Priced(
            np.concatenate([self.choices, other.choices]),
            np.concatenate([self.latency_ms, other.latency_ms]),
            np.concatenate([self.macs, other.macs]),
            np.concatenate([self.params, other.params]),
        )


class Band:
    """The networks of a space whose latency is within a budget and not far below it.

    Args:
        space: Where networks come from.
        predictors: Of the devices, in the order of the budgets.
        budgets_ms: The most milliseconds on each device.
        width: How far below its budget a network may be, as a share of it; on one device at least.
        resolution: Input side in pixels.
        num_classes: Outputs of the classifier.
    """

    def __init__(
        self,
        space: Space,
        predictors: Sequence[Predictor],
        budgets_ms: Mapping[str, float],
        width: float,
        *,
        resolution: int,
        num_classes: int,
    ) -> None:
        self.space = space
        self.devices = [predictor.device for predictor in predictors]
        self.budgets_ms = np.array([budgets_ms[device] for device in self.devices])
        self.width = width
        self.resolution = resolution
        self.num_classes = num_classes
        self._prices = PriceTable(space, predictors, resolution, num_classes)

    def shapes(self, choices: Choices) -> Shapes:
        """Return rows of choices as arrays."""
        return self.space.decode(choices, resolution=self.resolution, num_classes=self.num_classes)

    def price(self, choices: Choices) -> Priced:
        """Return what networks cost."""
        shapes = self.shapes(choices)
        prices = self._prices.price(choices, shapes.depth, shapes.se_blocks, variance=False)
        return Priced(choices, prices.latency_ms, prices.macs, prices.params)

    def holds(self, priced: Priced) -> npt.NDArray[np.bool_]:
        """Tell which networks are in the band, `(n,)`."""
        share = priced.latency_ms / self.budgets_ms
        return np.asarray(np.all(share <= 1, axis=1) & np.any(share >= 1 - self.width, axis=1))

    def draw(self, count: int, rng: np.random.Generator, *, fewer: bool = False) -> Priced:
        """Draw different networks of the band, each as probable as any other.

        Args:
            count: How many.
            rng: What draws them.
            fewer: Take fewer where the band holds fewer, but for none at all.

        Raises:
            RepvitNasError: There are not as many; the message names the nearest to the band.
        """
        found = self.price(np.zeros((0, len(self.space.parameters)), dtype=np.intp))
        nearest: Priced | None = None
        for _ in range(_TRIES):
            drawn = self.price(self._feasible(rng))
            joined = found.and_then(drawn.take(self.holds(drawn)))
            _, first = np.unique(joined.choices, axis=0, return_index=True)
            found = joined.take(np.sort(first)[:count])
            if len(found.choices) == count:
                return found
            nearest = self._nearer(nearest, drawn)
        if fewer and len(found.choices):
            return found
        raise RepvitNasError(self._empty_text(len(found.choices), count, nearest))

    def _feasible(self, rng: np.random.Generator) -> Choices:
        choices = self.space.sample(rng, _DRAWN)
        return choices[np.all(self.space.violations(self.shapes(choices)) <= 0, axis=1)]

    def _distance(self, priced: Priced) -> Floats:
        """Return how far networks are from the band, as a share of the budget, `(n,)`."""
        share = priced.latency_ms / self.budgets_ms
        below = 1 - self.width - share.max(axis=1)
        return np.asarray(np.maximum(np.maximum(share.max(axis=1) - 1, below), 0.0))

    def _nearer(self, nearest: Priced | None, drawn: Priced) -> Priced:
        joined = drawn if nearest is None else nearest.and_then(drawn)
        return joined.take(np.argsort(self._distance(joined), kind="stable")[:_NEAREST])

    def _empty_text(self, found: int, count: int, nearest: Priced | None) -> str:
        band = ", ".join(
            f"{budget * (1 - self.width):.4g} to {budget:.4g} ms on {device}"
            for device, budget in zip(self.devices, self.budgets_ms, strict=True)
        )
        near = (
            "none"
            if nearest is None
            else ", ".join(f"{row[0]:.4g} ms" for row in nearest.latency_ms)
        )
        return (
            f"the latency band ({band}) holds {found} networks of space {self.space.name!r}, "
            f"{count} are needed; the nearest networks have {near}: give another --budget-ms or a "
            "wider --band"
        )
