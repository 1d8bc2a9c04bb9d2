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

from repvit_nas import __version__, files
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.table import NetworkRow, Table, UnitRow
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.fit import Design, Member, counted, design, fit, member_costs
from repvit_nas.predictors.measured import (
    Learned,
    MeasuredPart,
    TimedUnit,
    arrays_bytes,
    floored,
    ranges_of,
)
from repvit_nas.predictors.physical import COLUMNS, Column, FormGrid
from repvit_nas.predictors.predictor import FittedOn, MemberRecord, Predictor, PredictorFile
from repvit_nas.predictors.residual import (
    NO_KERNEL,
    Kernel,
    fit_kernel,
    fit_residual,
    leave_one_out,
)
from repvit_nas.predictors.timed import (
    UNIT_MISFIT,
    beside_measured,
    network_observations,
    offsets_of,
    unit_observations,
)
from repvit_nas.predictors.validate import Predict, multiplier
from repvit_nas.shapes import Floats
from repvit_nas.units import Unit, count, rows

# Fewer than these determine nothing.
FEWEST_UNITS: Final = 8
FEWEST_NETWORKS: Final = 3
# A network's mean of several calibration ratios is trusted as if these many had shown nothing.
_PRIOR_NETWORKS: Final = 2.0
# No two builds of a network run equally fast to better than this.
_LEAST_MISFIT: Final = 0.005
# Part of a unit's figure that half a call's overhead may take at most.
_MOST_OVERHEAD: Final = 0.8
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
    found = refined(table, timed, members, prior, offsets=table.shared_sd, seed=seed)
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
        left_out: By how much the logarithm of each unit misses what all others predict, `(n,)`.
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
    named: list[Unit] = [row.unit for row in timed]
    physical = floored(prior(named))
    noise = np.array([table.own_sd_ms(row) / row.latency_ms for row in timed])
    log_ratio = _log_ratio(timed, members, physical)
    mean = log_ratio.mean(axis=1)
    if kernel is None:
        kernel = fit_kernel(named, mean, noise, seed=seed)
    groups = [
        (np.array([float(row.series == series) for row in timed]), deviation)
        for series, deviation in offsets.items()
        if deviation
    ]
    residual, common = fit_residual(kernel, named, log_ratio, noise, offsets=groups, seed=seed)
    rng = np.random.default_rng(seed)
    shaken = np.exp(noise[:, None] * rng.standard_normal(physical.shape))
    looked_up = np.exp(log_ratio - common) * physical * shaken
    arrays = arrays_bytes(residual, looked_up)
    part = MeasuredPart(
        kernel=kernel,
        scale=1.0,
        # A unit too small to be told from nothing was timed all the same.
        ranges=ranges_of([*named, *table.unresolved]) if kernel.deviation else {},
        arrays_digest=files.digest(arrays),
        units=tuple(TimedUnit(row.unit, row.latency_ms, row.sd_ms) for row in timed),
    )
    left_out = leave_one_out(kernel, named, mean, noise)
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
        self._kernel = None if networks and len(table.units) >= FEWEST_UNITS else NO_KERNEL
        self._table = table
        self._columns = columns
        self._offsets = offsets_of(errors, table)

    def refined(self, members: Sequence[Member]) -> Refined:
        """Return what the units add to an ensemble; all later ones get the first one's kernel."""
        found = refined(
            self._table,
            self._table.units,
            members,
            functools.partial(member_costs, members, columns=self._columns),
            offsets=self._offsets,
            kernel=self._kernel,
        )
        self._kernel = found.learned.part.kernel
        return found

    def predictions(self, observations: Sequence[Observation]) -> Predict:
        """Return what says of observations what an ensemble with the units does."""
        units, counts = counted(observations)
        calls = np.array([[item.calls] for item in observations])

        def predict(members: Sequence[Member], _: Design) -> Floats:
            physical = member_costs(members, units, self._columns)
            costs = self.refined(members).learned.refine(units, physical)
            overheads = np.array([member.overhead_ms for member in members])
            return np.asarray(counts @ costs + calls * overheads)

        return predict


def _log_ratio(timed: Sequence[UnitRow], members: Sequence[Member], physical: Floats) -> Floats:
    """Return the logarithm of measured cost over what each member says, `(n, members)`.

    What a call's overhead adds to some figures is taken off first.
    """
    figures = np.array([row.latency_ms for row in timed])[:, None]
    calls = np.array([row.calls for row in timed])[:, None]
    overhead = calls * np.array([member.overhead_ms for member in members])
    own = figures - np.minimum(overhead, _MOST_OVERHEAD * figures)
    return np.asarray(np.log(own / physical))


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
    return predictor.calibrated(float(scale), misfit, multiplier(scores))
