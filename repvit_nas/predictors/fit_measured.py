"""Fit a measured device: the physical model, the residual of its units, and the intervals.

Three layers, each explaining what the one before leaves:

* the physical ensemble, fitted to all units and to the calibration networks together;
* the residual of units, a Gaussian process, of which each member gets a draw;
* what whole networks take beside their units: one scale and a little for each operation, and how far
  single networks scatter around that.
"""

import functools
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.table import Table, UnitRow
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.calibration import calibrate
from repvit_nas.predictors.cross_validation import misfit_of_target
from repvit_nas.predictors.ensemble import design, fit
from repvit_nas.predictors.physical import COLUMNS, FormGrid, Member, member_costs
from repvit_nas.predictors.predictor import Costs, Predictor, Pricer
from repvit_nas.predictors.predictor_file import MemberRecord, Model
from repvit_nas.predictors.residual import NO_KERNEL
from repvit_nas.predictors.table_observations import (
    UNIT_MISFIT,
    beside_measured,
    network_observations,
    unit_observations,
)
from repvit_nas.predictors.timed_units import TELLING_UNITS, Learning, refined

# Fewer than these determine nothing.
FEWEST_UNITS: Final = 8
FEWEST_NETWORKS: Final = 3
# As many of those have to be told from nothing: the smallest units of a quick device may not be.
FEWEST_RESOLVED: Final = FEWEST_UNITS // 2
# Gigabytes a second that machines move for each million million MACs a second they compute.
_GBPS_PER_TMACS: Final = (30.0, 100.0, 300.0)
# Units with fewer MACs than this do not show how fast a device computes.
_TELLING_MACS: Final = 5_000_000


class TooFewError(RepvitNasError):
    """Too little was timed to fit a device."""


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
        TooFewError: There are too few units or calibration networks.
    """
    timed = table.units[:units]
    networks = table.networks("calibration")
    if len(timed) < FEWEST_RESOLVED or len(networks) < FEWEST_NETWORKS:
        enough = len(table.unresolved) + 2 * FEWEST_UNITS
        raise TooFewError(
            f"{len(timed)} timed units and {len(networks)} calibration networks are too few to fit "
            f"device {table.device!r}: at least {FEWEST_RESOLVED} and {FEWEST_NETWORKS} are needed; run "
            f"measure-lut again with --units {enough} or more, --calibration {FEWEST_NETWORKS} or more, "
            "and more --minutes: what was timed counts"
        )
    if base is None:
        seen = unit_observations(table, timed) + network_observations(table, networks)
        seen += published
        errors = beside_measured(assumptions.errors, table, published=bool(published))
        problem = design(seen, msgspec.structs.replace(assumptions, errors=errors))
        members = fit(problem, seed=seed)
        prior: Pricer = functools.partial(member_costs, members, columns=assumptions.columns)
    else:
        members, prior = _transferred(base, timed)
    # What is not timed is then as published networks have it.
    few = bool(published) and len(timed) < TELLING_UNITS
    found = refined(
        table,
        timed,
        members,
        prior,
        offsets=table.shared_sd,
        kernel=NO_KERNEL if few else None,
        seed=seed,
    )
    columns = assumptions.columns if base is None else base.model.columns
    whole = calibrate(
        Costs(members, columns, found.learned, physical=prior),
        table,
        networks,
        expected=misfit_of_target(assumptions.errors) if few else None,
    )
    model = Model(
        device=table.device,
        source="interpolated",
        columns=columns,
        members=tuple(
            MemberRecord(
                member.form, float(member.overhead_ms), tuple(map(float, member.coefficients))
            )
            for member in members
        ),
        misfit=whole.misfit,
        large_misfit=0.0,
        quantile=whole.quantile,
    )
    return Learning(
        Predictor(model, found.learned.calibrated(whole.scale, whole.operation_ms), physical=prior),
        len(timed) + len(networks) + len(published),
        found.arrays,
        found.left_out,
    )


def _transferred(base: Predictor, timed: Sequence[UnitRow]) -> tuple[list[Member], Pricer]:
    """Return another device's predictor, made as fast as this device is on the timed units."""
    theirs = base.unit_costs([row.unit for row in timed]).mean(axis=1)
    scale = float(np.exp(np.median(np.log([row.latency_ms for row in timed]) - np.log(theirs))))
    # A call's overhead has nothing to do with how fast units are; the networks' scale takes it up.
    members = [Member(member.form, 0.0, member.coefficients * scale) for member in base.members]
    return members, lambda units: base.unit_costs(units) * scale
