"""Fit a measured device: the physical model, the residual of its units, and the intervals.

Three layers, each explaining what the one before leaves:

* the physical ensemble, fitted to all units and to the calibration networks together;
* the residual of units, a Gaussian process, of which each member gets a draw;
* one scale for whole networks, and how far single networks scatter around it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from repvit_nas import __version__, files
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.programs import network
from repvit_nas.latency_lut.series import USUAL_OFFSET
from repvit_nas.latency_lut.table import NetworkRow, Table, UnitRow
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.fit import Member, design, fit, member_costs
from repvit_nas.predictors.measured import (
    Learned,
    MeasuredPart,
    TimedUnit,
    arrays_bytes,
    floored,
    ranges_of,
)
from repvit_nas.predictors.physical import COLUMNS, FormGrid
from repvit_nas.predictors.predictor import FittedOn, MemberRecord, Predictor, PredictorFile
from repvit_nas.predictors.residual import fit_kernel, fit_residual, leave_one_out
from repvit_nas.predictors.validate import TARGET_FAMILY, multiplier
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
# How far the physical model's form may miss one unit, and one whole network, of a table.
UNIT_MISFIT: Final = {"unit": 0.10, "network": 0.02}
# What the rows of a table are called where each way of timing has its own offset.
_TOOL: Final = "table"

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


def observations(units: Sequence[UnitRow], networks: Sequence[NetworkRow]) -> list[Observation]:
    """Return rows of a table as observations."""
    return [
        Observation(
            name=repr(row.unit),
            network=repr(row.unit),
            family="unit",
            resolution=0,
            units=((row.unit, 1),),
            latency_ms=row.latency_ms,
            error_ms=row.sd_ms,
            tool=_TOOL,
            source=_TOOL,
            calls=row.calls,
        )
        for row in units
    ] + [
        Observation(
            name=row.architecture.name,
            network=row.architecture.name,
            family="network",
            resolution=0,
            units=tuple(count(rows(row.architecture)).items()),
            latency_ms=row.latency_ms,
            error_ms=row.sd_ms,
            tool=_TOOL,
            source=_TOOL,
        )
        for row in networks
    ]


def beside_measured(errors: ErrorModel) -> ErrorModel:
    """Return the errors of published rows beside a table of the same device.

    The table is what counts: its rows have no offset, and the published ones have at least the one
    that two ways of timing a device usually have.
    """
    offset = {name: max(value, USUAL_OFFSET) for name, value in errors.offset.items()}
    return msgspec.structs.replace(
        errors,
        misfit={**UNIT_MISFIT, **errors.misfit},
        shared={**dict.fromkeys(UNIT_MISFIT, 0.0), **errors.shared},
        offset={**offset, _TOOL: 0.0},
    )


def beside_published(
    networks: Sequence[NetworkRow], published: Sequence[Observation]
) -> list[Observation]:
    """Return timed networks as observations that one fit takes with published ones.

    A network that was published too keeps its name: how far the model misses it is the same for both.
    """
    names = {frozenset(item.units): item.network for item in reversed(published)}
    found = []
    for item, row in zip(observations((), networks), networks, strict=True):
        name = names.get(frozenset(item.units), network(row.architecture).key)
        found.append(
            msgspec.structs.replace(
                item, network=name, family=TARGET_FAMILY, resolution=row.architecture.resolution
            )
        )
    return found


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
    named: list[Unit] = [row.unit for row in timed]
    if base is None:
        seen = [*observations(timed, networks), *published]
        errors = beside_measured(assumptions.errors) if published else assumptions.errors
        problem = design(seen, assumptions.forms, errors, assumptions.columns)
        members = fit(problem, seed=seed)
        prior: Pricer = functools.partial(member_costs, members, columns=assumptions.columns)
    else:
        members, prior = _transferred(base, timed)
    physical = floored(prior(named))
    noise = np.array([row.sd_ms / row.latency_ms for row in timed])
    log_ratio = _log_ratio(timed, members, physical)
    kernel = fit_kernel(named, log_ratio.mean(axis=1), noise, seed=seed)
    residual = fit_residual(kernel, named, log_ratio, noise, seed=seed)
    rng = np.random.default_rng(seed)
    shaken = np.exp(noise[:, None] * rng.standard_normal(physical.shape))
    looked_up = np.exp(log_ratio) * physical * shaken
    arrays = arrays_bytes(residual, looked_up)
    part = MeasuredPart(
        kernel=kernel,
        scale=1.0,
        # A unit too small to be told from nothing was timed all the same.
        ranges=ranges_of([*named, *table.unresolved]),
        arrays_digest=files.digest(arrays),
        units=tuple(TimedUnit(row.unit, row.latency_ms, row.sd_ms) for row in timed),
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
        measured=part,
    )
    learned = Learned(part, residual, looked_up)
    return Learning(
        _calibrated(Predictor(file, learned, physical=prior), networks),
        arrays,
        leave_one_out(kernel, named, log_ratio.mean(axis=1), noise),
    )


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


def _calibrated(predictor: Predictor, networks: Sequence[NetworkRow]) -> Predictor:
    """Return the predictor with scale, misfit and intervals that its calibration networks give.

    A network's own ratio takes no part in what its interval is checked with.
    """
    totals = np.stack([predictor.totals(count(rows(row.architecture))) for row in networks])
    mean, spread = totals.mean(axis=1), totals.std(axis=1) / totals.mean(axis=1)
    measured = np.array([row.latency_ms for row in networks])
    error = np.array([row.sd_ms for row in networks]) / measured
    ratio = np.log(measured / mean)
    size = len(ratio)
    scale = np.exp(ratio.sum() / (size + _PRIOR_NETWORKS))
    others = (ratio.sum() - ratio) / (size - 1 + _PRIOR_NETWORKS)
    missed = ratio - others
    explained = float(np.mean(error**2 + spread**2))
    misfit = np.sqrt(max(_LEAST_MISFIT**2, float(np.mean(missed**2)) - explained))
    scores = np.abs(missed) / np.sqrt(spread**2 + misfit**2 + error**2)
    return predictor.calibrated(float(scale), float(misfit), multiplier(scores))
