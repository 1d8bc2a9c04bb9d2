"""What the units that were timed add to a physical ensemble.

They are looked up; what they say of units that were not timed is the residual, a Gaussian process.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from repvit_nas import files
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.table import NetworkRow, Table, UnitRow
from repvit_nas.predictors.assumptions import ErrorModel
from repvit_nas.predictors.cross_validation import Predict
from repvit_nas.predictors.ensemble import Design, counted
from repvit_nas.predictors.features import unit_features
from repvit_nas.predictors.lookup import (
    MeasuredPart,
    TimedCosts,
    TimedUnit,
    arrays_bytes,
    floored,
    ranges_of,
)
from repvit_nas.predictors.physical import CostColumn, Member, member_costs
from repvit_nas.predictors.predictor import Predictor, Pricer
from repvit_nas.predictors.residual import (
    NO_KERNEL,
    Kernel,
    fit_kernel,
    fit_residual,
    leave_one_out,
)
from repvit_nas.predictors.table_observations import offsets_of
from repvit_nas.shapes import Floats

# What fewer units say of others is worth less than what published networks say of them.
TELLING_UNITS: Final = 40
# No member takes less of a unit's own cost than this share of what all take on average.
_LEAST_OWN: Final = 0.1


class Learning(NamedTuple):
    """A fitted predictor with what its file needs.

    Attributes:
        predictor: Ready to use.
        observations: How many latencies it was fitted to.
        arrays: What its file keeps of timed units, as a file of its own; empty if none was timed.
        left_out: By how much the logarithm of each timed unit misses what all others predict,
            `(n,)`; nan where that is not known.
    """

    predictor: Predictor
    observations: int
    arrays: bytes
    left_out: Floats


class Refined(NamedTuple):
    """What timed units add to a physical ensemble.

    Attributes:
        learned: The looked-up units and the residual of the others.
        arrays: Its arrays as a file.
        left_out: By how much the logarithm of each unit misses what all others predict, `(n,)`; nan
            where a call's overhead leaves too little of its figure to be told from nothing.
    """

    learned: TimedCosts
    arrays: bytes
    left_out: Floats


def refined(
    table: Table,
    timed: Sequence[UnitRow],
    members: Sequence[Member],
    prior: Pricer,
    *,
    offsets: Mapping[str, float],
    kernel: Kernel | None = None,
    seed: int = 0,
) -> Refined:
    """Return what timed units add to an ensemble: they are looked up, others are corrected.

    Args:
        table: The table.
        timed: Units of it, at least one.
        members: The ensemble.
        prior: What each member says of units.
        offsets: By series, `""` for the table's own, the relative standard deviation that its rows
            have in common.
        kernel: Of the residual; fitted to the units if there is none. With :data:`NO_KERNEL`,
            units that were not timed stay as the ensemble has them.
        seed: Of the draws.
    """
    own, sd = _own(table, timed, members)
    clear = own.mean(axis=1) / sd
    # One at least, so that there is something to look up.
    told = np.flatnonzero(clear > min(1.0, 0.99 * clear.max()))
    kept = [timed[int(row)] for row in told]
    named = [row.unit for row in kept]
    features = unit_features(named)
    own, noise = own[told], sd[told] / own[told].mean(axis=1)
    physical = floored(prior(named))
    log_ratio = np.log(own / physical)
    mean = log_ratio.mean(axis=1)
    if kernel is None:
        kernel = fit_kernel(features, mean, noise, seed=seed)
    groups = [
        (np.array([float(row.series == series) for row in kept]), deviation)
        for series, deviation in offsets.items()
        if deviation
    ]
    residual, common = fit_residual(kernel, features, log_ratio, noise, offsets=groups, seed=seed)
    looked_up = np.exp(log_ratio - common) * physical * _shaken(noise, len(members), seed)
    arrays = arrays_bytes(residual, looked_up)
    part = MeasuredPart(
        kernel=kernel,
        scale=1.0,
        # A unit too small to be told from nothing was timed all the same.
        ranges=ranges_of([*(row.unit for row in timed), *table.unresolved])
        if kernel.deviation
        else {},
        arrays_digest=files.digest(arrays),
        units=tuple(TimedUnit(row.unit, row.latency_ms, row.sd_ms) for row in kept),
    )
    left_out = np.full(len(timed), np.nan)
    left_out[told] = leave_one_out(kernel, features, mean, noise)
    return Refined(TimedCosts(part, residual, looked_up), arrays, left_out)


class PartlyMeasured:
    """Units that were timed of a device that is modelled otherwise.

    They take the place of their modelled figures. What they say of units that were not timed is
    believed once there are enough of them, and whole networks that were timed in the same way.

    Args:
        table: What was timed; some units at least.
        columns: What has a cost on the device.
        errors: How far figures may be off, see :func:`beside_measured`.
    """

    def __init__(self, table: Table, columns: Sequence[CostColumn], errors: ErrorModel) -> None:
        networks = any(isinstance(row, NetworkRow) for row in table.rows)
        self._telling = networks and len(table.units) >= TELLING_UNITS
        self._table = table
        self._columns = columns
        self._offsets = offsets_of(errors, table)

    def refined(self, members: Sequence[Member], kernel: Kernel | None = None) -> Refined:
        """Return what the units add to an ensemble.

        Args:
            members: The ensemble.
            kernel: Of the residual, where it is believed; fitted if there is none.
        """
        return refined(
            self._table,
            self._table.units,
            members,
            functools.partial(member_costs, members, columns=self._columns),
            offsets=self._offsets,
            kernel=kernel if self._telling else NO_KERNEL,
        )

    def predictions(self, observations: Sequence[Observation], kernel: Kernel) -> Predict:
        """Return what says of observations what an ensemble with the units does.

        Args:
            observations: Networks, and units behind them.
            kernel: Of the residual. Fitting one for every ensemble would take long.
        """
        units, counts = counted(observations)
        calls = np.array([[item.calls] for item in observations])

        def predict(members: Sequence[Member], _: Design) -> Floats:
            physical = member_costs(members, units, self._columns)
            costs = self.refined(members, kernel).learned.refine(units, physical)
            overheads = np.array([member.overhead_ms for member in members])
            return np.asarray(counts @ costs + calls * overheads)

        return predict


def _own(
    table: Table, timed: Sequence[UnitRow], members: Sequence[Member]
) -> tuple[Floats, Floats]:
    """Return what each member takes units themselves to cost, `(n, members)`, and its error, `(n,)`.

    What a call's overhead adds to some figures is taken off; on a phone that is most of a stem's.
    """
    figures = np.array([row.latency_ms for row in timed])[:, None]
    calls = np.array([row.calls for row in timed])[:, None]
    own = figures - calls * np.array([member.overhead_ms for member in members])
    mean = own.mean(axis=1, keepdims=True)
    sd = np.hypot([table.own_sd_ms(row) for row in timed], own.std(axis=1))
    return np.maximum(own, _LEAST_OWN * np.abs(mean)), sd


def _shaken(noise: Floats, members: int, seed: int) -> Floats:
    """Return factors of mean 1 and standard deviation `noise`, `(n, members)`, never below 0."""
    wide = np.sqrt(np.log1p(noise**2))[:, None]
    drawn = np.random.default_rng(seed).standard_normal((len(noise), members))
    return np.asarray(np.exp(wide * drawn - wide**2 / 2))
