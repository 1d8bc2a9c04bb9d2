"""The search problem as functions of arrays: choices in, scores out."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.accuracy.estimator import AccuracyEstimate, AccuracyEstimator, estimate
from repvit_nas.operations import BYTES_PER_ELEMENT
from repvit_nas.predictors.predictor import CALIBRATED, Predictor
from repvit_nas.search_space.space import Choices, Space
from repvit_nas.searching.settings import Settings
from repvit_nas.searching.tables import Prices, PriceTable
from repvit_nas.shapes import Floats, Shapes

# Rows scored at once: small enough that all columns stay in the processor's cache.
CHUNK: Final = 8192


class NetworkScores(NamedTuple):
    """What is known of `n` networks.

    Attributes:
        latency_ms: Estimated latency on each device, `(n, devices)`.
        low_ms: Lower end of the 90 % interval, `(n, devices)`.
        high_ms: Upper end of the 90 % interval, `(n, devices)`.
        accuracy: Estimated accuracy in percent, `(n,)`.
        accuracy_std: Its standard deviation, `(n,)`.
        macs: Multiply-accumulates, `(n,)`.
        params: Parameters of the fused network, `(n,)`.
        violations: How far each constraint is broken, `(n, constraints)`; <= 0 is fulfilled.
    """

    latency_ms: Floats
    low_ms: Floats
    high_ms: Floats
    accuracy: Floats
    accuracy_std: Floats
    macs: Floats
    params: Floats
    violations: Floats

    @property
    def feasible(self) -> npt.NDArray[np.bool_]:
        """Which networks fulfil every constraint, `(n,)`."""
        return np.asarray(np.all(self.violations <= 0, axis=1))

    def take(self, rows: npt.NDArray[np.intp] | slice) -> "NetworkScores":
        """Return the scores of some rows."""
        return NetworkScores(*(column[rows] for column in self))


class _Evaluated(NamedTuple):
    """What scores are made of: a device's columns, or one figure a network."""

    latency_ms: Floats
    deviation_ms: Floats
    accuracy: AccuracyEstimate
    violations: Floats
    prices: Prices


def concatenate(parts: Sequence[NetworkScores]) -> NetworkScores:
    """Join scores of several batches."""
    return NetworkScores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Problem:
    """What a search maximises and what it must keep.

    The objectives, all to be minimised, are the latency on each device and the negative lower
    confidence bound of the accuracy.
    """

    def __init__(
        self,
        space: Space,
        predictors: Sequence[Predictor],
        estimator: AccuracyEstimator,
        settings: Settings,
    ) -> None:
        self.space = space
        self.settings = settings
        self.estimator = estimator
        self.devices = [predictor.device for predictor in predictors]
        self.num_classes = settings.num_classes
        self.output = settings.output
        default = space.file.resolution.default
        self.resolution = default if settings.resolution is None else settings.resolution
        self.predictors = predictors
        self._misfits = np.array([predictor.misfit(self.resolution) for predictor in predictors])
        self._table = PriceTable(space, predictors, self.resolution, self.num_classes, self.output)
        self.budgets_ms = np.array([settings.budgets_ms[device] for device in self.devices])
        self.limits = [
            (name, limit)
            for name, limit in (
                ("params", settings.max_params_m and settings.max_params_m * 1e6),
                ("macs", settings.max_macs_g and settings.max_macs_g * 1e9),
                ("size", settings.max_size_mb and settings.max_size_mb * 1e6),
            )
            if limit
        ]
        self.constraint_names = [
            *(f"budget of {device}" for device in self.devices),
            *(f"max {name}" for name, _ in self.limits),
            *space.file.constraints,
        ]

    def decode(self, choices: Choices) -> Shapes:
        """Return the networks of rows of choices, of the resolution and output that are searched."""
        return self.space.decode(
            choices,
            resolution=self.resolution,
            num_classes=self.num_classes,
            output=self.output,
        )

    def score(self, choices: Choices) -> NetworkScores:
        """Score rows of choices."""
        parts = [self._score(choices[rows]) for rows in _chunks(len(choices))]
        return concatenate(parts) if len(parts) > 1 else parts[0]

    def objectives_at(self, choices: Choices) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the objectives of rows of choices and which are feasible; faster than scores."""
        parts = []
        for rows in _chunks(len(choices)):
            found = self._evaluate(choices[rows])
            bound = found.accuracy.mean - self.settings.risk * found.accuracy.std
            objectives = np.column_stack([found.latency_ms, -bound])
            parts.append((objectives, np.all(found.violations <= 0, axis=1)))
        objectives_of, feasible = zip(*parts, strict=True)
        return np.concatenate(objectives_of), np.concatenate(feasible)

    def budget_shares(self, choices: Choices) -> Floats:
        """Return the share of its budget that each device's latency takes, `(n, devices)`.

        The latency is the estimate, or the upper end of its interval where the settings ask for a
        confidence.
        """
        return np.asarray(self.score(choices).violations[:, : len(self.devices)] + 1.0)

    def _score(self, choices: Choices) -> NetworkScores:
        found = self._evaluate(choices, intervals=True)
        half = found.deviation_ms * self._multipliers(CALIBRATED)
        return NetworkScores(
            latency_ms=found.latency_ms,
            low_ms=np.maximum(0.0, found.latency_ms - half),
            high_ms=found.latency_ms + half,
            accuracy=found.accuracy.mean,
            accuracy_std=found.accuracy.std,
            macs=found.prices.macs,
            params=found.prices.params,
            violations=found.violations,
        )

    def _evaluate(self, choices: Choices, *, intervals: bool = False) -> _Evaluated:
        """Return what is known of networks; a deviation of 0 where `intervals` are not needed."""
        confidence = self.settings.confidence
        shapes = self.decode(choices)
        prices = self._table.price(
            choices,
            shapes.depth,
            shapes.se_blocks,
            variance=intervals or confidence is not None,
        )
        latency, deviation = _exact(prices.latency_ms), np.zeros_like(prices.latency_ms)
        if prices.variance is not None:
            deviation = np.sqrt(prices.variance + (self._misfits * latency) ** 2)
        limited = latency
        if confidence is not None:
            limited = latency + deviation * self._multipliers(confidence)
        violations = np.concatenate(
            [
                limited / self.budgets_ms - 1.0,
                self._limit_violations(prices.macs, prices.params),
                self.space.violations(shapes),
            ],
            axis=1,
        )
        accuracy = AccuracyEstimate(*map(_exact, estimate(self.estimator, shapes)))
        return _Evaluated(latency, deviation, accuracy, _exact(violations), prices)

    def _multipliers(self, interval: float) -> Floats:
        return np.array([predictor.multiplier(interval) for predictor in self.predictors])

    def _limit_violations(self, macs: Floats, params: Floats) -> Floats:
        values = {"macs": macs, "params": params, "size": BYTES_PER_ELEMENT * params}
        columns = [values[name] / limit - 1.0 for name, limit in self.limits]
        return np.stack(columns, axis=1) if columns else np.zeros((len(macs), 0))

    def objectives(self, scores: NetworkScores) -> Floats:
        """Return the objectives, all minimised, `(n, devices + 1)`."""
        bound = scores.accuracy - self.settings.risk * scores.accuracy_std
        return np.column_stack([scores.latency_ms, -bound])


def _exact(values: Floats) -> Floats:
    """Round away what depends on how many rows a matrix product has.

    Otherwise a network scored in another batch differs in its last bit, and a resumed study in a
    comparison.
    """
    return np.round(values, 9)


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, max(count, 1), CHUNK):
        yield slice(start, start + CHUNK)
