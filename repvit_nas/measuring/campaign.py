"""Measure a device: time, look where the predictor is least certain, time there too."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from repvit_nas.architecture import (
    LOGITS,
    SAM,
    SAM_FUSED,
    Architecture,
    OutputKind,
    usual_resolution,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.plan import Plan, exploring
from repvit_nas.latency_lut.statistics import Statistic
from repvit_nas.latency_lut.table import TABLE_FILE, Table, build_table, write_table
from repvit_nas.measuring.design import choose_units, random_networks
from repvit_nas.measuring.session import Limits, Session
from repvit_nas.predictors.fit_measured import (
    FEWEST_NETWORKS,
    FEWEST_UNITS,
    TooFewError,
    assumptions_for,
    learn,
)
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.predictors.residual import PRIOR_KERNEL
from repvit_nas.programs import CHAIN_LENGTHS
from repvit_nas.search_space.family import reference
from repvit_nas.search_space.space import Space
from repvit_nas.shapes import Floats
from repvit_nas.units import Network, Unit
from repvit_nas.words import Progress

# A network of medium size whose latency is many times a call's overhead.
SENTINEL: Final = "repvit_m0_9"
# Random networks whose units are the candidates for timing.
_POOL: Final = 120


class Wishes(NamedTuple):
    """What to measure.

    Attributes:
        units: Units to time.
        calibration: Random networks that the fit may see.
        held_out: Random networks that it never sees.
        isolated: Whether to time the units of the held-out networks alone, as a baseline.
        seed: Of everything random.
        resolution: Input side in pixels; None takes the space's, and for SAM its 1024.
        output: What the networks hand back.
    """

    units: int
    calibration: int
    held_out: int
    isolated: bool
    seed: int
    resolution: int | None = None
    output: OutputKind = LOGITS

    @property
    def side(self) -> int | None:
        """The input side that is asked for; None for the space's own."""
        return usual_resolution(self.output) if self.resolution is None else self.resolution


def first_plan(
    space: Space, wishes: Wishes, *, lengths: tuple[int, ...] = CHAIN_LENGTHS, at_once: bool = False
) -> Plan:
    """Return the plan before anything is known: networks, and units that fill the space.

    Args:
        space: Where networks and units come from.
        wishes: What to measure.
        lengths: Copies in the chains.
        at_once: Choose all units now, because nobody looks at the first round before the others.

    Raises:
        RepvitNasError: It asks for too little to fit or to validate, or for what cannot be timed.
    """
    if wishes.units < FEWEST_UNITS or wishes.calibration < FEWEST_NETWORKS or wishes.held_out < 2:
        raise RepvitNasError(
            f"at least --units {FEWEST_UNITS}, --calibration {FEWEST_NETWORKS} and --networks 2 "
            f"are needed; got {wishes.units}, {wishes.calibration} and {wishes.held_out}"
        )
    check_timeable(wishes.output, isolated=wishes.isolated)
    space.check_resolution(wishes.side)
    networks = random_networks(
        space,
        wishes.calibration + wishes.held_out,
        seed=wishes.seed,
        resolution=wishes.side,
        output=wishes.output,
    )
    first = wishes.units if at_once else exploring(wishes.units)
    return Plan(
        seed=wishes.seed,
        resolution=networks[0].resolution,
        lengths=lengths,
        sentinel=sentinel(networks[0].resolution),
        calibration=tuple(networks[: wishes.calibration]),
        held_out=tuple(networks[wishes.calibration :]),
        isolated=wishes.isolated,
        wanted=wishes.units,
        explored=first == wishes.units,
        units=tuple(choose_units(_pool(space, wishes), first, PRIOR_KERNEL)),
    )


def network_plan(
    networks: Sequence[Network],
    *,
    seed: int,
    isolated: bool = False,
    sentinel_resolution: int | None = None,
) -> Plan:
    """Return a plan that times whole networks and no units.

    Where the sentinel is to be compared with that of a device's table, it is as large as there.
    """
    return Plan(
        seed=seed,
        resolution=networks[0].resolution,
        sentinel=sentinel(sentinel_resolution or networks[0].resolution),
        calibration=(),
        held_out=tuple(networks),
        isolated=isolated,
        wanted=0,
        explored=True,
        units=(),
    )


def check_timeable(output: OutputKind, *, isolated: bool) -> None:
    """Refuse networks that are no chain of units, and lone units where not all of them run alone.

    Raises:
        RepvitNasError: They are such.
    """
    if output == SAM_FUSED:
        raise RepvitNasError("a neck that takes two maps is not timed; give --output sam")
    if isolated and output != LOGITS:
        raise RepvitNasError("--isolated is for networks of classes; leave it out")


def sentinel(resolution: int) -> Architecture:
    """Return the network that is timed over and over."""
    return msgspec.structs.replace(
        reference(SENTINEL).architecture, name="sentinel", resolution=resolution
    )


def measure(
    session: Session,
    plan: Plan,
    space: Space,
    wishes: Wishes,
    *,
    limits: Limits,
    progress: Progress,
) -> Table:
    """Run a session to its end and write the table.

    After the first round the remaining units are chosen with a predictor fitted to that round
    alone, so a resumed session chooses the same.

    Raises:
        RepvitNasError: The time is too short, or too little of the first round counts.
        FileError: The folder cannot be written.
    """
    session.explore(plan, limits, progress)
    session.check_explored(plan)
    if not plan.explored:
        plan = _explored(session, plan, space, wishes)
        session.keep(plan)
    session.rounds(plan, limits, progress)
    table = session.table(plan)
    write_table(session.folder / TABLE_FILE, table)
    return table


def _explored(session: Session, plan: Plan, space: Space, wishes: Wishes) -> Plan:
    known = session.table(plan)
    kernel = PRIOR_KERNEL
    costs: Callable[[Sequence[Unit]], Floats] | None = None
    with contextlib.suppress(TooFewError):  # then units that fill the space tell most
        predictor = learn(known, assumptions_for(known), seed=plan.seed).predictor
        if predictor.measured is not None:
            kernel = predictor.measured.kernel
        costs = functools.partial(_mean_costs, predictor)

    more = choose_units(
        _pool(space, wishes),
        plan.wanted - len(plan.units),
        kernel,
        timed=plan.units,
        costs=costs,
    )
    return msgspec.structs.replace(plan, units=(*plan.units, *more), explored=True)


def _mean_costs(predictor: Predictor, units: Sequence[Unit]) -> Floats:
    return np.asarray(predictor.unit_costs(units).mean(axis=1))


def _pool(space: Space, wishes: Wishes) -> list[Architecture]:
    """Return the networks whose units are candidates: others than those that are timed.

    A backbone's are those of a classifier, of which a head can be timed too.
    """
    return random_networks(
        space,
        _POOL,
        seed=wishes.seed + 1,
        resolution=wishes.side,
        fewer=True,
        output=SAM if wishes.output == SAM else LOGITS,
    )


def time_networks(
    session: Session,
    plan: Plan,
    limits: Limits,
    progress: Progress,
    statistic: Statistic | None,
) -> Table:
    """Time whole networks only, and return the table; nothing but the visits is written.

    Args:
        session: Where they are timed.
        plan: The networks.
        limits: When to end.
        progress: Told what is being done, how far it is, and of how much.
        statistic: That of the device's table, which they are compared with; None for the steadiest.
    """
    session.explore(plan, limits, progress)
    session.rounds(plan, limits, progress)
    return build_table(session.folder.name, plan, session.visits, statistic=statistic)
