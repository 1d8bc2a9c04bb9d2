"""What is known of a measured device's predictor: `predictors/<device>/validation.json`."""

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from repvit_nas.architecture import shape_text
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.table import NetworkRow, Table
from repvit_nas.predictors.assumptions import Assumptions
from repvit_nas.predictors.fit_measured import FEWEST_UNITS, learn
from repvit_nas.predictors.lookup import Source
from repvit_nas.predictors.metrics import Scores, compared, predictions, scores
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.shapes import Floats
from repvit_nas.units import Unit

# Numbers of timed units at which the learning curve is drawn.
CURVE: Final = (25, 50, 100, 200, 400)


class NetworkCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network that no fit saw: measured and predicted milliseconds, 90 % intervals of both."""

    shape: str
    measured_ms: float
    measured_low_ms: float
    measured_high_ms: float
    predicted_ms: float
    low_ms: float
    high_ms: float
    source: Source


class UnitCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One timed unit, and by how much a fit to all others misses it, in percent."""

    unit: Unit
    latency_ms: float
    left_out_percent: float


class CurvePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Root mean square percentage error on held-out networks after so many timed units.

    Attributes:
        units: Units timed.
        rmspe: Starting from a physical model of the device.
        transferred: Starting from another device's predictor, by its name.
    """

    units: int
    rmspe: float
    transferred: dict[str, float]


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of a measured device's `validation.json` (schema 1).

    Attributes:
        device: The device.
        title: The name people use.
        units: Units that were timed.
        calibration: Networks that the fit saw.
        minutes: What the measuring took.
        noise_floor: What a repetition of the whole measurement would differ by, root mean square
            percent: the error that a perfect predictor would seem to have.
        coverage: Share of held-out networks inside their 90 % interval, percent.
        coverage_with_noise: The same with the error of their own figures allowed for.
        scores: By predictor and baseline.
        curve: How the error falls with the number of units.
        checks: The held-out networks.
        unit_checks: The timed units.
    """

    schema: Literal[1] = 1
    device: str
    title: str
    units: int
    calibration: int
    minutes: float
    noise_floor: float | None
    coverage: float
    coverage_with_noise: float
    scores: dict[str, Scores]
    curve: tuple[CurvePoint, ...]
    checks: tuple[NetworkCheck, ...]
    unit_checks: tuple[UnitCheck, ...]


def evaluate(
    title: str,
    table: Table,
    predictor: Predictor,
    networks: Sequence[NetworkRow],
    *,
    curve: Sequence[CurvePoint] = (),
    left_out: Floats | None = None,
) -> Evaluation:
    """Compare a fitted predictor with networks that it never saw.

    Args:
        title: The name people use for the device.
        table: What the predictor was fitted to.
        predictor: The predictor.
        networks: The networks.
        curve: The learning curve, where one was drawn.
        left_out: By how much the logarithm of each unit of the table misses what the others
            predict, where that is known.
    """
    checks = tuple(_check(predictor, row) for row in networks)
    missing: Sequence[float] = () if left_out is None else list(left_out)
    inside = [check.low_ms <= check.measured_ms <= check.high_ms for check in checks]
    allowed = [_holds(check) for check in checks]
    return Evaluation(
        device=table.device,
        title=title,
        units=len(table.units),
        calibration=len(table.networks("calibration")),
        minutes=table.minutes,
        noise_floor=None if table.noise_floor is None else round(100 * table.noise_floor, 3),
        coverage=round(100 * float(np.mean(inside)), 1),
        coverage_with_noise=round(100 * float(np.mean(allowed)), 1),
        scores=compared(predictor, table, networks),
        curve=tuple(curve),
        checks=checks,
        unit_checks=tuple(
            UnitCheck(row.unit, row.latency_ms, round(100 * float(np.expm1(-missed)), 3))
            for row, missed in zip(table.units, missing, strict=False)
            if math.isfinite(missed)
        ),
    )


def _holds(check: NetworkCheck) -> bool:
    """Say whether a network lies inside its interval, the error of its own figure allowed for."""
    predicted = (check.high_ms - check.low_ms) / 2
    measured = (check.measured_high_ms - check.measured_low_ms) / 2
    return abs(check.measured_ms - check.predicted_ms) <= math.hypot(predicted, measured)


def _check(predictor: Predictor, row: NetworkRow) -> NetworkCheck:
    estimate = predictor.estimate(row.architecture)
    return NetworkCheck(
        shape=shape_text(row.architecture),
        measured_ms=row.latency_ms,
        measured_low_ms=row.low_ms,
        measured_high_ms=row.high_ms,
        predicted_ms=round(estimate.latency_ms, 5),
        low_ms=round(estimate.low_ms, 5),
        high_ms=round(estimate.high_ms, 5),
        source=estimate.source,
    )


def learning_curve(
    table: Table,
    assumptions: Assumptions,
    bases: dict[str, Predictor],
    progress: Callable[[str, int, int], None] = lambda *_: None,
    published: Sequence[Observation] = (),
) -> list[CurvePoint]:
    """Fit to the first 25, 50, 100... units, as they were chosen, and score each fit.

    Args:
        table: The table; its held-out networks score.
        assumptions: Of the physical model.
        bases: Predictors of other devices to start from, by name.
        progress: Told what is being done.
        published: Latencies that others published of the device.
    """
    networks = table.networks("held_out")
    measured = np.array([row.latency_ms for row in networks])
    total = len(table.units)
    sizes = [size for size in CURVE if FEWEST_UNITS <= size < total] + [total]
    points = []
    for place, size in enumerate(sizes):
        progress("learning curve", place, len(sizes))

        def error(base: Predictor | None, size: int = size) -> float:
            fitted = learn(table, assumptions, units=size, base=base, published=published).predictor
            return scores(measured, predictions(fitted, networks)).rmspe

        points.append(
            CurvePoint(size, error(None), {name: error(base) for name, base in bases.items()})
        )
    return points
