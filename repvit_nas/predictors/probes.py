"""What a fit says where no cross-validation looks: other sizes, other networks, another chip.

Leaving single networks and families out says how a fit does among networks like those it has. A search
goes further, so a device's fit is also compared with latencies that it is never fitted to.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.published import PathStep
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.cross_validation import (
    LOOKALIKES,
    HeldOut,
    Predict,
    held_out,
    own_variance,
)
from repvit_nas.predictors.engine import Engine
from repvit_nas.predictors.ensemble import Design, counted, fit
from repvit_nas.predictors.physical import LARGE_RESOLUTION, CostColumn, Member, member_costs
from repvit_nas.predictors.validation import Probe, Probed


class RowOrigin(NamedTuple):
    """Another device's fit, and what is known of its engine.

    Attributes:
        device: Its name.
        members: Its ensemble.
        columns: What that has coefficients for.
        engine: Its limits.
    """

    device: str
    members: Sequence[Member]
    columns: Sequence[CostColumn]
    engine: Engine


class ProbedModel(NamedTuple):
    """A fit that is probed.

    Attributes:
        observations: The networks that it was fitted to.
        problem: The same as arrays, and behind them units, which every fit sees.
        assumptions: What was taken for granted, with the errors that the fit was made with.
        quantile: Deviations to either side of a 90 % interval.
        predict: Makes predictions of an ensemble.
    """

    observations: Sequence[Observation]
    problem: Design
    assumptions: Assumptions
    quantile: float
    predict: Predict

    @property
    def errors(self) -> ErrorModel:
        """How far the figures may be off."""
        return self.assumptions.errors


def probes(
    subject: ProbedModel, path: Sequence[PathStep] = (), origin: RowOrigin | None = None
) -> tuple[Probe, ...]:
    """Compare a fit with what it, or a fit like it, never saw.

    Args:
        subject: The fit.
        path: Networks that are only ever compared with, in steps.
        origin: Another device's fit to compare with the same latencies, nothing refitted.
    """
    found = [_above(subject), *_variants(subject)]
    if path:
        found.append(_path(subject, path))
    if origin is not None:
        found += _transferred(subject, origin)
    return tuple(probe for probe in found if probe is not None)


def predicted(
    members: Sequence[Member], observations: Sequence[Observation], columns: Sequence[CostColumn]
) -> HeldOut:
    """Return what an ensemble says of observations."""
    units, counts = counted(observations)
    calls = np.array([[item.calls] for item in observations])
    overheads = np.array([member.overhead_ms for member in members])
    totals = counts @ member_costs(members, units, columns) + calls * overheads
    return HeldOut(totals.mean(axis=1), totals.var(axis=1))


def _above(subject: ProbedModel) -> Probe | None:
    """Compare large inputs with a fit to none of them."""
    large = [item.resolution > LARGE_RESOLUTION for item in subject.observations]
    if not any(large) or all(large):
        return None
    found = _without(subject, large)
    rows = [item for item, inside in zip(subject.observations, large, strict=True) if inside]
    return _probe(f"rows above {LARGE_RESOLUTION} px left out", subject, rows, found)


def _variants(subject: ProbedModel) -> list[Probe]:
    """Compare variants of one network, of one source, with a fit to none of them."""
    groups: dict[tuple[str, str], dict[str, Observation]] = {}
    for item in subject.observations:
        groups.setdefault((item.network, item.source), {})[item.name] = item
    found = []
    for (network, _), variants in groups.items():
        if len(variants) > 1:
            inside = [item.network == network for item in subject.observations]
            held = _without(subject, inside)
            names = [item.name for item in subject.observations if item.network == network]
            rows = sorted(variants.values(), key=lambda item: item.latency_ms)
            picked = np.array([names.index(item.name) for item in rows])
            after = ["", *(item.name for item in rows[:-1])]
            ordered = HeldOut(held.mean_ms[picked], held.variance[picked])
            title = f"variants of {network} left out"
            found.append(_probe(title, subject, rows, ordered, after))
    return found


def _path(subject: ProbedModel, path: Sequence[PathStep]) -> Probe:
    """Compare a path of networks with a fit to none of them."""
    rows = [step.observation for step in path]
    seen = {item.network for item in rows}
    kept = np.array([item.network not in seen for item in subject.observations])
    units = np.ones(len(subject.problem.latency_ms) - len(kept), dtype=bool)
    members = fit(subject.problem.subset(np.concatenate([kept, units])))
    held = predicted(members, rows, subject.assumptions.columns)
    after = [step.after for step in path]
    return _probe("path of networks, never fitted", subject, rows, held, after)


def _transferred(subject: ProbedModel, origin: RowOrigin) -> list[Probe]:
    """Compare another device's fit, with this one's engine, with the latencies of this one."""
    engine = subject.assumptions.engine
    if not isinstance(engine, Engine):
        return []
    rows = [item for item in subject.observations if item.family in LOOKALIKES]
    kept = msgspec.structs.replace(engine, spill=origin.engine.spill)
    none = msgspec.structs.replace(engine, spill=("none",))
    found = []
    for title, there in (("", kept), (", nothing off the chip", none)):
        moved = [
            member._replace(form=there.moved(member.form, origin.engine))
            for member in origin.members
        ]
        held = predicted(moved, rows, origin.columns)
        found.append(_probe(f"transferred from {origin.device}{title}", subject, rows, held))
    return found


def _without(subject: ProbedModel, inside: Sequence[bool]) -> HeldOut:
    """Predict the observations marked `inside` by a fit to all the others."""
    size = len(subject.observations)
    groups = ["left out" if mark else "" for mark in inside]
    groups += [""] * (len(subject.problem.latency_ms) - size)
    held = held_out(subject.problem, groups, predict=subject.predict).first(size)
    marked = np.flatnonzero(inside)
    return HeldOut(held.mean_ms[marked], held.variance[marked])


def _probe(
    title: str,
    subject: ProbedModel,
    rows: Sequence[Observation],
    held: HeldOut,
    after: Sequence[str] = (),
) -> Probe:
    """Compare observations with predictions by fits that did not see them."""
    own = own_variance(rows, subject.errors)
    half = subject.quantile * np.sqrt(held.variance + own * held.mean_ms**2)
    published = np.array([item.latency_ms for item in rows])
    return Probe(
        title=title,
        error_percent=round(100 * float(np.mean(np.abs(held.mean_ms / published - 1))), 2),
        coverage_percent=round(100 * float(np.mean(np.abs(held.mean_ms - published) <= half)), 1),
        checks=tuple(
            Probed(
                name=item.name,
                published_ms=item.latency_ms,
                predicted_ms=round(float(held.mean_ms[row]), 4),
                low_ms=round(float(held.mean_ms[row] - half[row]), 4),
                high_ms=round(float(held.mean_ms[row] + half[row]), 4),
                after=after[row] if after else "",
            )
            for row, item in enumerate(rows)
        ),
    )
