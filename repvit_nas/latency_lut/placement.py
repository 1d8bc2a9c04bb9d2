"""Where programs ran: `placements.jsonl`, and which of them may speak for the Neural Engine.

Core ML takes compute units as a wish. A program of which a single costed operation prefers another
processor was not timed on the Neural Engine; its visits are kept, but no fit sees them unless asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.plan import Plan
from repvit_nas.latency_lut.table import NetworkRow, Table, build_table
from repvit_nas.latency_lut.visits import Visit
from repvit_nas.lines import LineLog
from repvit_nas.programs import network
from repvit_nas.quantities import Several

PLACEMENTS_FILE: Final = "placements.jsonl"
NEURAL_ENGINE: Final = "neuralEngine"
# Where no program has two rounds, or all repeat exactly, such as one report that is there twice, this
# is by how much two visits of a program usually differ.
_USUAL_REPEAT: Final = 0.02
# What stands for a processor where the device does not take the program at all.
REFUSED: Final = "refused"
_LEAST_NETWORKS: Final = 2


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one program's operations prefer to run.

    Attributes:
        key: The program's key.
        preferred: How many operations with a cost prefer each processor.
        elsewhere: The operations that do not prefer the Neural Engine.
    """

    key: str
    preferred: dict[str, Several]
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


def placement_log(path: Path) -> LineLog[Placement]:
    """Return the log of placements, one program a line; the last line of a program counts."""
    return LineLog(path, Placement, "placement")


def read_placements(path: Path) -> dict[str, Placement]:
    """Return the placements by program; a torn last line does not count.

    Raises:
        FileError: A line is no placement.
    """
    return {item.key: item for item in placement_log(path).read()}


def off_the_engine(placements: Mapping[str, Placement]) -> frozenset[str]:
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
    device: str, plan: Plan, visits: Sequence[Visit], off: frozenset[str] = frozenset()
) -> Table:
    """Return the table of the programs that count.

    A unit whose shortest chain was left on the CPU keeps the slope over its other lengths, as long
    as two are left. Figures of few rounds get the error that so many rounds usually have.

    Args:
        device: Whose table it is.
        plan: What was timed.
        visits: The visits, those that do not count among them.
        off: Keys of the programs that do not count.
    """
    counted = [visit for visit in visits if visit.key not in off]
    return build_table(device, plan, counted, usual_repeat=_USUAL_REPEAT)
