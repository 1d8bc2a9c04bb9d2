"""What whole networks take beside the sum of their units, from those that a fit may see.

In a chain every operation runs among its like; in a network it finds less of what it needs in the caches.
So a network takes a share more than its units in chains, and each of its operations a little more.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from repvit_nas.latency_lut.table import NetworkRow, Table
from repvit_nas.predictors.cross_validation import multiplier, student
from repvit_nas.predictors.predictor import Costs
from repvit_nas.predictors.table_observations import UNIT_MISFIT
from repvit_nas.shapes import Floats
from repvit_nas.units import count, rows

# What the two may be, as shares of a usual network's latency: standard deviations before any was timed.
_SCALE_SD: Final = 0.1
# A device that is modelled as well has its scale from published networks: as if two had shown none.
_MODELLED_SCALE_SD: Final = UNIT_MISFIT["network"] / math.sqrt(2)
_OPERATIONS_SD: Final = 0.1
# Fewer networks do not tell the two apart.
_TELLING_NETWORKS: Final = 8
# What a modelled fit says of how far networks scatter is believed as if so many of them had shown it.
_PRIOR_DEGREES: Final = 4.0
# No two builds of a network run equally fast to better than this.
_LEAST_MISFIT: Final = 0.005


class Calibration(NamedTuple):
    """What calibration networks say of a fit to units; see :class:`Model` and `MeasuredPart`."""

    scale: float
    operation_ms: float
    misfit: float
    quantile: float


class _Line(NamedTuple):
    """Ratios of networks' latencies over their units', as a line.

    Attributes:
        coefficients: Of the columns that it has.
        missed: By which share each network misses the line through all others, `(n,)`.
    """

    coefficients: Floats
    missed: Floats


def calibrate(
    costs: Costs, table: Table, networks: Sequence[NetworkRow], *, expected: float | None = None
) -> Calibration:
    """Return the scale, the milliseconds of an operation, the misfit and the interval.

    A network's own ratio takes no part in what its interval is checked with.

    How far networks scatter is itself known from few: of three, a Student distribution holds 90 % within
    2.9 deviations, and by chance they may agree. Where the device is modelled as well, its fit to published
    networks says how far they scatter; that is the scale of a scaled-inverse-chi-squared prior of the
    variance, worth as much as a few networks, and what the networks leave unexplained is pooled with it
    (Gelman et al., Bayesian Data Analysis, 3rd edition, section 2.6).

    Args:
        costs: The fit to units.
        table: The table of the networks.
        networks: The calibration networks.
        expected: Relative standard deviation of one network around what is modelled; None where what is
            not timed is not modelled from published networks.
    """
    counted = [count(rows(row.architecture)) for row in networks]
    totals = np.stack([costs.totals(units) for units in counted])
    mean, spread = totals.mean(axis=1), totals.std(axis=1) / totals.mean(axis=1)
    measured = np.array([row.latency_ms for row in networks])
    error = np.array([table.own_sd_ms(row) for row in networks]) / measured
    operations = np.array(
        [sum(times * len(unit.operations) for unit, times in units.items()) for units in counted]
    )
    usual_ms = float(mean.sum() / operations.sum())
    sd = (_SCALE_SD if expected is None else _MODELLED_SCALE_SD, _OPERATIONS_SD)
    line = _line(measured / mean, operations * usual_ms / mean, sd)
    size = len(networks)
    explained = float(np.mean(error**2 + spread**2))
    variance = max(0.0, float(np.mean(line.missed**2)) - explained)
    freedom = float(max(1, size - len(line.coefficients)))
    if expected is not None:
        variance = (_PRIOR_DEGREES * expected**2 + size * variance) / (_PRIOR_DEGREES + size)
        freedom += _PRIOR_DEGREES
    misfit = math.sqrt(max(_LEAST_MISFIT**2, variance))
    scores = np.abs(line.missed) / np.sqrt(spread**2 + misfit**2 + error**2)
    # Networks do not show by how much their whole series is off; the scale takes that from them.
    taken = Counter(row.series for row in networks)
    shared = [deviation * taken[series] / size for series, deviation in table.shared_sd.items()]
    return Calibration(
        scale=1.0 + float(line.coefficients[0]),
        operation_ms=float(line.coefficients[1]) * usual_ms if len(line.coefficients) > 1 else 0.0,
        misfit=math.hypot(misfit, *shared),
        quantile=max(student(freedom), multiplier(scores)),
    )


def _line(ratio: Floats, operations: Floats, sd: tuple[float, float]) -> _Line:
    """Fit what networks take beside their units, both terms with a normal prior around nothing.

    Args:
        ratio: Measured over the sum of units, `(n,)`.
        operations: Operations of each network for its latency, 1 for a usual one, `(n,)`.
        sd: Standard deviations of the two terms before any network was timed.
    """
    columns = np.stack([np.ones_like(ratio), operations], axis=1)
    if len(ratio) >= _TELLING_NETWORKS:
        line = _ridge(columns, ratio, sd)
        # No operation is faster among others than among its like, and no unit is free there.
        if line.coefficients[1] >= 0 and 1.0 + line.coefficients[0] > 0:
            return line
    return _ridge(columns[:, :1], ratio, sd)


def _ridge(columns: Floats, ratio: Floats, sd: tuple[float, float]) -> _Line:
    """Return the line through ratios, and how far each is off that of the others.

    Errors are relative to what is predicted: relative to the figure they would pull predictions down.
    """
    pull = np.diag((UNIT_MISFIT["network"] / np.array(sd[: columns.shape[1]])) ** 2)
    inverse = np.linalg.inv(columns.T @ columns + pull)
    coefficients = inverse @ columns.T @ (ratio - 1.0)
    fitted = 1.0 + columns @ coefficients
    # In a linear fit, leaving a row out moves its residual by its own leverage.
    leverage = np.einsum("ij,jk,ik->i", columns, inverse, columns)
    return _Line(coefficients, (ratio - fitted) / (1.0 - leverage) / fitted)
