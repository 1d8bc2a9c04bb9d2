"""How far off a measured device's predictor is on networks that were held out of its fit."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from repvit_nas.latency_lut.device import Device
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.table import NetworkRow, Table
from repvit_nas.networks import summary
from repvit_nas.predictors.assumptions import Assumptions
from repvit_nas.predictors.fit_measured import FEWEST_UNITS, learn
from repvit_nas.predictors.metrics import compared, predictions, scores
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.predictors.validation import (
    CurvePoint,
    HeldOutComparison,
    NetworkCheck,
    UnitCheck,
)
from repvit_nas.shapes import Floats
from repvit_nas.words import Progress

# Numbers of timed units at which the learning curve is drawn.
CURVE: Final = (25, 50, 100, 200, 400)


def evaluate(
    title: str,
    table: Table,
    predictor: Predictor,
    networks: Sequence[NetworkRow],
    *,
    curve: Sequence[CurvePoint] = (),
    left_out: Floats | None = None,
) -> HeldOutComparison:
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
    return HeldOutComparison(
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
        output=networks[0].architecture.output,
    )


def evaluate_afresh(
    device: Device, predictor: Predictor, table: Table, timed: Table
) -> HeldOutComparison:
    """Compare a predictor with networks timed after it was fitted.

    Args:
        device: The device.
        predictor: Its predictor.
        table: What the predictor was fitted to; the baselines are too.
        timed: The new networks, and their units alone where those were timed.
    """
    both = msgspec.structs.replace(
        timed,
        device=device.name,
        rows=(*table.units, *table.networks("calibration"), *timed.rows),
    )
    return evaluate(device.file.title, both, predictor, timed.networks("held_out"))


def _holds(check: NetworkCheck) -> bool:
    """Say whether a network lies inside its interval, the error of its own figure allowed for."""
    predicted = (check.high_ms - check.low_ms) / 2
    measured = (check.measured_high_ms - check.measured_low_ms) / 2
    return abs(check.measured_ms - check.predicted_ms) <= math.hypot(predicted, measured)


def _check(predictor: Predictor, row: NetworkRow) -> NetworkCheck:
    estimate = predictor.estimate(row.architecture)
    return NetworkCheck(
        shape=summary(row.architecture),
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
    progress: Progress = lambda *_: None,
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
