"""`compare`: which network is better, by how much, and is it settled."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import msgspec
import numpy as np

from repvit_nas.accuracy.estimator import as_judged
from repvit_nas.accuracy.family import FamilyEstimator
from repvit_nas.api.loading import (
    architecture_of,
    devices_in,
    estimator_of,
    predictor_of,
    title_of,
)
from repvit_nas.api.search import Search
from repvit_nas.api.shown import Shown, bars_with_intervals
from repvit_nas.architecture import Architecture
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.named import Named
from repvit_nas.predictors.lookup import Source
from repvit_nas.predictors.predictor import CALIBRATED, Predictor, check_confidence
from repvit_nas.report.tables import Grid
from repvit_nas.searching.records import BEST, RUN_FILE, find_run
from repvit_nas.shapes import shapes_of
from repvit_nas.units import count, rows


class Difference(msgspec.Struct, frozen=True):
    """How two networks differ in one quantity.

    Attributes:
        first: Which network.
        second: The network that it is compared with.
        quantity: `latency` in milliseconds, or `accuracy` in points.
        device: On which device; empty for the accuracy.
        source: Where both figures come from: the weaker of two latencies' sources, or `estimated`.
        of_first: The first network's figure.
        of_second: The second network's figure.
        difference: The first's less the second's.
        low: Lower end of the difference's interval.
        high: Upper end.
        interval: The interval's confidence.
        chance: How probable it is that the first is the better one.
    """

    first: str
    second: str
    quantity: Literal["latency", "accuracy"]
    device: str
    source: Source | Literal["estimated"]
    of_first: float
    of_second: float
    difference: float
    low: float
    high: float
    interval: float
    chance: float

    @property
    def settled(self) -> bool:
        """Whether the interval leaves no doubt which of the two is better."""
        return self.low > 0 or self.high < 0

    @property
    def better(self) -> str:
        """Which of the two is better, by the estimates; empty where they are the same."""
        if self.difference == 0:
            return ""
        first_is_less = self.difference < 0
        return self.first if first_is_less == (self.quantity == "latency") else self.second

    @property
    def lead(self) -> tuple[float, float, float]:
        """By how much the better is better, and the interval of that; below 0 it would be worse."""
        sign = -1 if self.difference < 0 else 1
        low, high = sorted((sign * self.low, sign * self.high))
        return abs(self.difference), low, high

    def __str__(self) -> str:
        """Say it in one line."""
        what = f"{self.quantity} on {self.device}" if self.device else self.quantity
        if not self.better:
            return f"{what}: {self.first} and {self.second} are the same"
        other = self.second if self.better == self.first else self.first
        word, unit = ("faster", "ms") if self.device else ("more accurate", "points")
        lead, low, high = self.lead
        verdict = "settled" if self.settled else "not settled"
        return (
            f"{what}, {self.source}: {self.better} is {word} than {other} by {lead:.3f} {unit} "
            f"({self.interval:.0%} interval {low:.3f} to {high:.3f}): {verdict}"
        )


class Comparison(Shown, msgspec.Struct, frozen=True):
    """Networks against each other: every pair, on every device and in accuracy."""

    differences: tuple[Difference, ...]
    meaning: str

    def __iter__(self) -> Iterator[Difference]:
        """Go through the differences."""
        return iter(self.differences)

    def __len__(self) -> int:
        """Count the differences."""
        return len(self.differences)

    def __str__(self) -> str:
        """Say each difference in a line."""
        return "\n".join(map(str, self.differences))

    def document(self) -> dict[str, Any]:
        """Return the comparison as plain values under the names that JSON uses."""
        columns = self.columns()
        rows = zip(*columns.values(), strict=True)
        differences = [dict(zip(columns, row, strict=True)) for row in rows]
        return {"differences": differences, "accuracy_meaning": self.meaning}

    def grid(self) -> Grid:
        """Return the table that is shown in a notebook: every pair."""
        cells = [
            (f"{each.first} against {each.second}", *_cells(each)) for each in self.differences
        ]
        header = ("networks", *self._header())
        return Grid.of(self.meaning, header, cells, left=("in", "better"))

    def pairs(self) -> list[Grid]:
        """Return a table for each pair, which is narrower."""
        found = itertools.groupby(self.differences, lambda each: (each.first, each.second))
        return [
            Grid.of(
                f"{first} against {second}", self._header(), [*map(_cells, group)], left=("better",)
            )
            for (first, second), group in found
        ]

    def _header(self) -> tuple[str, ...]:
        return ("in", "better", "by", f"{self.differences[0].interval:.0%} interval", "settled")

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: the fields of each difference, and the verdict."""
        fields = {
            name: [getattr(each, name) for each in self.differences]
            for name in Difference.__struct_fields__
        }
        return fields | {
            "better": [each.better for each in self.differences],
            "settled": [each.settled for each in self.differences],
        }

    def plot(self, axes: Any = None) -> Any:
        """Draw each difference with its interval; return matplotlib's axes."""
        names = [
            f"{each.first} - {each.second}\n{each.device or 'accuracy'}, {each.source}"
            for each in self.differences
        ]
        ends = [(each.low, each.high) for each in self.differences]
        values = [each.difference for each in self.differences]
        drawn = bars_with_intervals(axes, names, values, ends)
        drawn.axvline(0, color="0.4", linestyle="--", linewidth=1)
        drawn.set_xlabel("difference: ms, and points of accuracy")
        return drawn


def _cells(each: Difference) -> tuple[str, ...]:
    lead, low, high = each.lead
    return (
        f"{each.device or 'accuracy'}, {each.source}",
        each.better or "the same",
        f"{lead:.3f}",
        f"{low:.3f} to {high:.3f}",
        "yes" if each.settled else "no",
    )


def compare(
    *networks: Named | Search,
    device: str | Sequence[str] = DEFAULT_DEVICE,
    accuracy: str = FamilyEstimator.name,
    interval: float = CALIBRATED,
    foreign: bool = False,
) -> Comparison:
    """Compare networks: which is better, by how much, and is it settled.

    What two networks have in common, they err in together. Latency: each member of the device's
    ensemble says a difference of its own, and what single networks deviate from the model is taken
    to come from their units, so that it is common as far as the units are. Accuracy: by the
    covariance of the estimator; what one training differs from another is each network's own.

    Args:
        *networks: Two or more: anything that names a network, or a search (or its folder), which
            stands for its best.
        device: The name of a device, or a list of names.
        accuracy: What estimates accuracies.
        interval: Confidence of the intervals, above 0 and below 1.
        foreign: Accept a processor's table that was measured on another machine.

    Returns:
        Each pair's differences in milliseconds on each device, and in points of accuracy.

    Raises:
        WrongTypeError: An argument is of a type that has no meaning here.
        RepvitNasError: There are fewer than two networks, or one or a device is not known.
    """
    if len(networks) < 2:
        raise RepvitNasError(f"compare takes two networks or more; got {len(networks)}")
    check_confidence(interval)
    found = [architecture_of(best_of(one)) for one in networks]
    names = _told_apart([title_of(network) for network in found])
    where = [predictor_of(each, foreign=foreign)[0] for each in devices_in(device)]
    estimator = estimator_of(accuracy)
    shapes = as_judged(estimator, shapes_of(found))
    mean = estimator.estimate(shapes).mean
    covariance = estimator.covariance(shapes)
    differences = []
    for one, two in itertools.combinations(range(len(found)), 2):
        pair = (names[one], names[two])
        differences += [
            _latency(predictor, pair, (found[one], found[two]), interval) for predictor in where
        ]
        variance = covariance[one, one] + covariance[two, two] - 2 * covariance[one, two]
        half = NormalDist().inv_cdf((1 + interval) / 2) * math.sqrt(max(0.0, variance))
        figures = (float(mean[one]), float(mean[two]))
        differences.append(
            _difference(pair, "accuracy", "", "estimated", figures, half=half, interval=interval)
        )
    return Comparison(tuple(differences), estimator.meaning)


def best_of(named: Named | Search) -> Named:
    """Return the best network where a search, or its folder, is given; else what is given."""
    if isinstance(named, Search):
        return named.best
    if not isinstance(named, str | Path):
        return named
    try:
        is_run = (find_run(str(named)) / RUN_FILE).is_file()
    except UnknownNameError:
        is_run = False
    return f"{named}:{BEST}" if is_run else named


def _told_apart(names: Sequence[str]) -> list[str]:
    """Number names that stand for several networks."""
    return [
        f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _latency(
    predictor: Predictor,
    names: tuple[str, str],
    networks: tuple[Architecture, Architecture],
    interval: float,
) -> Difference:
    bags = [count(rows(network)) for network in networks]
    units = list(bags[0] | bags[1])
    times = np.array([[bag[unit] for unit in units] for bag in bags], dtype=np.float64)
    totals = np.stack([predictor.totals(bag) for bag in bags])
    means = totals.mean(axis=1)
    # A network's deviation from the model is shared out over its units, each with an error in
    # proportion to its cost: networks without a unit in common deviate independently.
    shares = times * predictor.unit_costs(units).mean(axis=1)
    shares /= np.linalg.norm(shares, axis=1, keepdims=True)
    misfits = [
        predictor.misfit(network.resolution) * mean
        for network, mean in zip(networks, means, strict=True)
    ]
    own = shares.T * np.array(misfits)
    variance = float((totals[0] - totals[1]).var() + ((own[:, 0] - own[:, 1]) ** 2).sum())
    half = predictor.multiplier(interval) * math.sqrt(variance)
    figures = (float(means[0]), float(means[1]))
    source = predictor.source(units)
    return _difference(
        names, "latency", predictor.device, source, figures, half=half, interval=interval
    )


def _difference(
    names: tuple[str, str],
    quantity: Literal["latency", "accuracy"],
    device: str,
    source: Source | Literal["estimated"],
    figures: tuple[float, float],
    *,
    half: float,
    interval: float,
) -> Difference:
    difference = figures[0] - figures[1]
    gain = -difference if quantity == "latency" else difference
    deviation = half / NormalDist().inv_cdf((1 + interval) / 2)
    known = 0.5 if gain == 0 else float(gain > 0)
    return Difference(
        first=names[0],
        second=names[1],
        quantity=quantity,
        device=device,
        source=source,
        of_first=figures[0],
        of_second=figures[1],
        difference=difference,
        low=difference - half,
        high=difference + half,
        interval=interval,
        chance=NormalDist(0, deviation).cdf(gain) if deviation else known,
    )
