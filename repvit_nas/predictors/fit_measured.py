"""Fit a measured device: the physical model, the residual of its units, and the intervals.

Three layers, each explaining what the one before leaves:

* the physical ensemble, fitted to all units and to the calibration networks together;
* the residual of units, a Gaussian process, of which each member gets a draw;
* one scale for whole networks, and how far single networks scatter around it.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from repvit_nas import files
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.table import NetworkRow, Table, UnitRow
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.cross_validation import Predict, multiplier
from repvit_nas.predictors.ensemble import Design, Member, counted, design, fit, member_costs
from repvit_nas.predictors.lookup import (
    Learned,
    MeasuredPart,
    TimedUnit,
    arrays_bytes,
    floored,
    ranges_of,
)
from repvit_nas.predictors.physical import COLUMNS, Column, FormGrid
from repvit_nas.predictors.predictor import (
    CALIBRATED,
    FittedOn,
    MemberRecord,
    Predictor,
    PredictorFile,
)
from repvit_nas.predictors.residual import (
    NO_KERNEL,
    Kernel,
    fit_kernel,
    fit_residual,
    leave_one_out,
)
from repvit_nas.predictors.table_observations import (
    UNIT_MISFIT,
    beside_measured,
    network_observations,
    offsets_of,
    unit_observations,
)
from repvit_nas.shapes import Floats
from repvit_nas.units import Unit, count, rows
from repvit_nas.version import __version__

# Fewer than these determine nothing.
FEWEST_UNITS: Final = 8
FEWEST_NETWORKS: Final = 3
# What fewer units say of others is worth less than what published networks say of them.
TELLING_UNITS: Final = 40
# A network's mean of several calibration ratios is trusted as if these many had shown nothing.
_PRIOR_NETWORKS: Final = 2.0
# No two builds of a network run equally fast to better than this.
_LEAST_MISFIT: Final = 0.005
# No member takes less of a unit's own cost than this share of what all take on average.
_LEAST_OWN: Final = 0.1
# Gigabytes a second that machines move for each million million MACs a second they compute.
_GBPS_PER_TMACS: Final = (30.0, 100.0, 300.0)
# Units with fewer MACs than this do not show how fast a device computes.
_TELLING_MACS: Final = 5_000_000

Pricer = Callable[[Sequence[Unit]], Floats]


class Learning(NamedTuple):
    """A fitted predictor with what its file needs.

    Attributes:
        predictor: Ready to use.
        arrays: The residual's arrays as a file.
        left_out: By how much the logarithm of each unit misses what all others predict, `(n,)`.
    """

    predictor: Predictor
    arrays: bytes
    left_out: Floats


def assumptions_for(table: Table) -> Assumptions:
    """Return assumptions for a device of which nothing but a table is known.

    Compute speed is read off the table; how compute and memory relate is left to the ensemble.
    """
    rates = [row.unit.macs / row.latency_ms / 1e9 for row in table.units]
    telling = [
        rate for rate, row in zip(rates, table.units, strict=True) if row.unit.macs >= _TELLING_MACS
    ]
    tmacs = float(f"{np.quantile(telling or rates, 0.9):.2g}")
    memory = tuple(float(f"{tmacs * ratio:.2g}") for ratio in _GBPS_PER_TMACS)
    return Assumptions(
        note="Written by measure-lut from the speed of the units; edit and fit again at will.",
        columns=COLUMNS,
        forms=FormGrid(
            overlap=("none", "memory", "all"),
            tmacs=(tmacs,),
            memory_gbps=memory,
            chip_gbps=tuple(float(f"{4 * speed:.2g}") for speed in memory[1:]),
            chip_mb=(0.5, 4.0),
            spill=("excess",),
            row=(1,),
        ),
        errors=ErrorModel(
            repeat=0.005,
            misfit={**UNIT_MISFIT, "other": 0.05},
            shared={"other": 0.0},
            offset={"other": 0.0},
            large=0.0,
            variants=0.0,
        ),
    )


def learn(
    table: Table,
    assumptions: Assumptions,
    *,
    units: int | None = None,
    base: Predictor | None = None,
    seed: int = 0,
    published: Sequence[Observation] = (),
) -> Learning:
    """Fit a predictor to a table.

    Args:
        table: The measurements; networks with the role `held_out` are not looked at.
        assumptions: What the physical model takes for granted.
        units: Use only the first so many units, as they were chosen.
        base: Start from another device's predictor instead of a physical model of this one: its
            units' costs, scaled as a whole.
        seed: Of the draws.
        published: Latencies that others published of the device: they tell the physical model how
            it behaves outside the table, and are taken to be off as a whole.

    Raises:
        RepvitNasError: There are too few units or calibration networks.
    """
    timed = table.units[:units]
    networks = table.networks("calibration")
    if len(timed) < FEWEST_UNITS or len(networks) < FEWEST_NETWORKS:
        raise RepvitNasError(
            f"{len(timed)} timed units and {len(networks)} calibration networks are too few to fit "
            f"device {table.device!r}: at least {FEWEST_UNITS} and {FEWEST_NETWORKS} are needed; "
            "run measure-lut with more --units and --networks"
        )
    if base is None:
        seen = unit_observations(table, timed) + network_observations(table, networks)
        seen += published
        errors = beside_measured(assumptions.errors, table, published=bool(published))
        problem = design(seen, assumptions.forms, errors, assumptions.columns)
        members = fit(problem, seed=seed)
        prior: Pricer = functools.partial(member_costs, members, columns=assumptions.columns)
    else:
        members, prior = _transferred(base, timed)
    few = published and len(timed) < TELLING_UNITS
    found = refined(
        table,
        timed,
        members,
        prior,
        offsets=table.shared_sd,
        kernel=NO_KERNEL if few else None,
        seed=seed,
    )
    file = PredictorFile(
        device=table.device,
        source="interpolated",
        columns=assumptions.columns if base is None else base.file.columns,
        members=tuple(
            MemberRecord(
                member.form, float(member.overhead_ms), tuple(map(float, member.coefficients))
            )
            for member in members
        ),
        misfit=0.0,
        large_misfit=0.0,
        quantile=1.0,
        fitted_on=FittedOn(
            observations=len(timed) + len(networks),
            digest="",
            assumptions_digest="",
            repvit_nas=__version__,
        ),
        measured=found.learned.part,
    )
    return Learning(
        _calibrated(Predictor(file, found.learned, physical=prior), table, networks),
        found.arrays,
        found.left_out,
    )


class Refined(NamedTuple):
    """What timed units add to a physical ensemble.

    Attributes:
        learned: The looked-up units and the residual of the others.
        arrays: Its arrays as a file.
        left_out: By how much the logarithm of each unit misses what all others predict, `(n,)`; nan
            where a call's overhead leaves too little of its figure to be told from nothing.
    """

    learned: Learned
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
    named: list[Unit] = [row.unit for row in kept]
    own, noise = own[told], sd[told] / own[told].mean(axis=1)
    physical = floored(prior(named))
    log_ratio = np.log(own / physical)
    mean = log_ratio.mean(axis=1)
    if kernel is None:
        kernel = fit_kernel(named, mean, noise, seed=seed)
    groups = [
        (np.array([float(row.series == series) for row in kept]), deviation)
        for series, deviation in offsets.items()
        if deviation
    ]
    residual, common = fit_residual(kernel, named, log_ratio, noise, offsets=groups, seed=seed)
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
    left_out[told] = leave_one_out(kernel, named, mean, noise)
    return Refined(Learned(part, residual, looked_up), arrays, left_out)


class PartlyMeasured:
    """Units that were timed of a device that is modelled otherwise.

    They take the place of their modelled figures. What they say of units that were not timed is
    believed once there are enough of them, and whole networks that were timed in the same way.

    Args:
        table: What was timed; some units at least.
        columns: What has a cost on the device.
        errors: How far figures may be off, see :func:`beside_measured`.
    """

    def __init__(self, table: Table, columns: Sequence[Column], errors: ErrorModel) -> None:
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


def _transferred(base: Predictor, timed: Sequence[UnitRow]) -> tuple[list[Member], Pricer]:
    """Return another device's predictor, made as fast as this device is on the timed units."""
    theirs = base.unit_costs([row.unit for row in timed]).mean(axis=1)
    scale = float(np.exp(np.median(np.log([row.latency_ms for row in timed]) - np.log(theirs))))
    # A call's overhead has nothing to do with how fast units are; the networks' scale takes it up.
    members = [Member(member.form, 0.0, member.coefficients * scale) for member in base.members]
    return members, lambda units: base.unit_costs(units) * scale


def _calibrated(predictor: Predictor, table: Table, networks: Sequence[NetworkRow]) -> Predictor:
    """Return the predictor with scale, misfit and intervals that its calibration networks give.

    A network's own ratio takes no part in what its interval is checked with.
    """
    totals = np.stack([predictor.totals(count(rows(row.architecture))) for row in networks])
    mean, spread = totals.mean(axis=1), totals.std(axis=1) / totals.mean(axis=1)
    measured = np.array([row.latency_ms for row in networks])
    error = np.array([table.own_sd_ms(row) for row in networks]) / measured
    ratio = np.log(measured / mean)
    size = len(ratio)
    scale = np.exp(ratio.sum() / (size + _PRIOR_NETWORKS))
    others = (ratio.sum() - ratio) / (size - 1 + _PRIOR_NETWORKS)
    missed = ratio - others
    explained = float(np.mean(error**2 + spread**2))
    misfit = np.sqrt(max(_LEAST_MISFIT**2, float(np.mean(missed**2)) - explained))
    scores = np.abs(missed) / np.sqrt(spread**2 + misfit**2 + error**2)
    # Networks do not show by how much their whole series is off; the scale takes that from them.
    taken = Counter(row.series for row in networks)
    shared = [
        deviation * taken[series] / (size + _PRIOR_NETWORKS)
        for series, deviation in table.shared_sd.items()
    ]
    misfit = math.hypot(float(misfit), *shared)
    # How far networks scatter is itself known from few.
    return predictor.calibrated(float(scale), misfit, max(_student(size - 1), multiplier(scores)))


def _student(freedom: int) -> float:
    """Return the deviations to either side of 90 % of a Student distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CALIBRATED) / 2))
