"""Where programs ran: `placements.jsonl`, and which of them may speak for the Neural Engine.

Core ML takes compute units as a wish. A program of which a single costed operation prefers another
processor was not timed on the Neural Engine; its visits are kept, but no fit sees them unless asked.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.plan import Plan
from repvit_nas.latency_lut.statistics import Figures
from repvit_nas.latency_lut.table import NetworkRow, Table, UnitRow, build_table, figures_of
from repvit_nas.latency_lut.visits import VisitRecord
from repvit_nas.programs import chain, network, recipe
from repvit_nas.units import Block, Ffn, Unit

PLACEMENTS_FILE: Final = "placements.jsonl"
NEURAL_ENGINE: Final = "neuralEngine"
# Where no program has two rounds, or all repeat exactly, such as one report that is there twice, this
# is by how much two visits of a program usually differ. Nothing repeats better than the least.
_USUAL_REPEAT: Final = 0.02
_LEAST_REPEAT: Final = 0.003
# Fewer rounds of one program than these say less of its error than all programs together do.
_TELLING_ROUNDS: Final = 4
# What stands for a processor where the device does not take the program at all.
REFUSED: Final = "refused"
_LEAST_LENGTHS: Final = 2
RowT = TypeVar("RowT", bound=UnitRow | NetworkRow)
_LEAST_NETWORKS: Final = 2


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one program's operations prefer to run.

    Attributes:
        key: The program's key.
        preferred: How many operations with a cost prefer each processor.
        elsewhere: The operations that do not prefer the Neural Engine.
    """

    key: str
    preferred: dict[str, int]
    elsewhere: tuple[str, ...] = ()

    @property
    def on_neural_engine(self) -> bool:
        """Whether all operations with a cost prefer the Neural Engine."""
        return set(self.preferred) == {NEURAL_ENGINE}


def placement(key: str, operations: Iterable[tuple[str, str, float | None]]) -> Placement:
    """Return a program's placement.

    Args:
        key: The program's key.
        operations: The name of each operation, the processor it prefers, and its estimated cost;
            operations without a cost (constants, mostly) do not count.
    """
    preferred: dict[str, int] = {}
    elsewhere = []
    for name, processor, cost in operations:
        if not cost:
            continue
        preferred[processor] = preferred.get(processor, 0) + 1
        if processor != NEURAL_ENGINE:
            elsewhere.append(name)
    return Placement(key, preferred, tuple(elsewhere))


def read_placements(path: Path) -> dict[str, Placement]:
    """Return the placements by program; the last line of a program counts, a torn one does not.

    Raises:
        FileError: A line is no placement.
    """
    if not path.is_file():
        return {}
    complete, _, _ = files.read_bytes(path).rpartition(b"\n")
    found = {}
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            item = msgspec.json.decode(line, type=Placement)
        except msgspec.MsgspecError as error:
            raise FileError(f"{path}: line {number} is no placement: {error}") from error
        found[item.key] = item
    return found


def write_placements(path: Path, placements: Mapping[str, Placement]) -> None:
    """Write placements, one program a line."""
    lines = b"".join(msgspec.json.encode(item) + b"\n" for item in placements.values())
    files.write_bytes(path, lines)


def refused(placements: Mapping[str, Placement]) -> frozenset[str]:
    """Return the keys of programs that did not run on the Neural Engine alone."""
    return frozenset(key for key, item in placements.items() if not item.on_neural_engine)


def without_networks(table: Table, off: frozenset[str]) -> Table:
    """Return a table without the networks whose programs do not count.

    Raises:
        RepvitNasError: Fewer than two networks are left, which say nothing.
    """
    rows = tuple(
        row
        for row in table.rows
        if not (isinstance(row, NetworkRow) and network(row.architecture).key in off)
    )
    left = sum(isinstance(row, NetworkRow) for row in rows)
    if left < _LEAST_NETWORKS:
        raise RepvitNasError(
            f"at least {_LEAST_NETWORKS} networks must run on the Neural Engine alone to be compared "
            f"with predictions for it; {left} of {left + len(table.rows) - len(rows)} do"
        )
    return msgspec.structs.replace(table, rows=rows)


def gated_table(
    device: str, plan: Plan, visits: Sequence[VisitRecord], off: frozenset[str] = frozenset()
) -> Table:
    """Return the table of the programs that count.

    A unit whose shortest chain was left on the CPU keeps the slope over its other lengths, as long
    as two are left. Figures of few rounds get the error that so many rounds usually have, and a unit
    whose cost is then no larger than its error is unresolved.

    Args:
        device: Whose table it is.
        plan: What was timed.
        visits: The visits, those that do not count among them.
        off: Keys of the programs that do not count.
    """
    counted = [visit for visit in visits if visit.key not in off]
    timed = {visit.key for visit in counted}
    groups: dict[tuple[int, ...], list[Unit]] = {}
    for unit in plan.units:
        lengths = _usable(unit, plan, timed)
        if len(lengths) >= _LEAST_LENGTHS:
            groups.setdefault(lengths, []).append(unit)
    whole = build_table(device, msgspec.structs.replace(plan, units=()), counted)
    rows = list(whole.rows)
    unresolved: list[Unit] = []
    known = figures_of(plan, counted)
    for lengths, units in groups.items():
        part = msgspec.structs.replace(
            plan,
            units=tuple(units),
            lengths=lengths,
            calibration=(),
            held_out=(),
            isolated=False,
        )
        made = build_table(device, part, counted)
        unresolved += made.unresolved
        for row in made.units:
            honest = _honest(row, known, lengths)
            if honest.resolved:
                rows.append(honest)
            else:
                unresolved.append(row.unit)
    rows = [_honest(row, known, ()) if isinstance(row, NetworkRow) else row for row in rows]
    order = {unit: place for place, unit in enumerate(plan.units)}
    rows.sort(key=lambda row: order.get(row.unit, 0) if isinstance(row, UnitRow) else len(order))
    return msgspec.structs.replace(whole, rows=tuple(rows), unresolved=tuple(unresolved))


def _usable(unit: Unit, plan: Plan, timed: set[str]) -> tuple[int, ...]:
    """Return the lengths of a unit's chains that count; all for a unit between neighbours."""
    if not isinstance(unit, Block | Ffn):
        return plan.lengths
    return tuple(length for length in plan.lengths if chain(unit, length).key in timed)


def _honest(row: RowT, known: Figures, lengths: tuple[int, ...]) -> RowT:
    """Return a row whose error is not smaller than that of so few rounds usually is."""
    if row.rounds >= _TELLING_ROUNDS:
        return row
    if isinstance(row, UnitRow):
        terms = [(item.key, factor) for item, factor in recipe(row.unit, lengths).terms]
    else:
        terms = [(network(row.architecture).key, 1.0)]
    parts = [factor * float(np.nanmedian(known.row(key))) for key, factor in terms]
    variation = known.variation[known.statistic]
    usual = max(variation, _LEAST_REPEAT) if variation else _USUAL_REPEAT
    least = usual * float(np.linalg.norm(parts)) / math.sqrt(row.rounds)
    return spread(row, row.latency_ms, max(row.sd_ms, least), row.rounds)


def spread(row: RowT, latency_ms: float, sd_ms: float, rounds: int) -> RowT:
    """Return a row with another latency and error."""
    return msgspec.structs.replace(
        row,
        latency_ms=round(latency_ms, 6),
        sd_ms=max(1e-6, round(sd_ms, 6)),
        low_ms=round(latency_ms - 1.645 * sd_ms, 6),
        high_ms=round(latency_ms + 1.645 * sd_ms, 6),
        rounds=rounds,
    )
