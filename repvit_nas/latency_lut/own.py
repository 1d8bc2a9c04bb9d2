"""Latencies of whole networks that a user brought, by whatever they were timed.

They are kept with the networks themselves, so that nothing else has to stay where it was, and become
the same record as a measurement: a bag of counted units and a time with its error.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.architecture import Architecture, shape_text
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.programs import network
from repvit_nas.quantities import Duration, Milliseconds
from repvit_nas.units import count, rows

OWN_FILE: Final = "latencies.json"
# RepViT's family, of which every architecture is.
_FAMILY: Final = "repvit"


class OwnLatency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one network took.

    Attributes:
        architecture: The network.
        latency_ms: Milliseconds for one image.
        error_ms: Standard deviation of that.
        tool: What timed it; rows of one tool and source may be off together.
        source: Who timed it, or on which machine.
        note: Anything a reader should know.
    """

    architecture: Architecture
    latency_ms: Milliseconds
    error_ms: Duration
    tool: str
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        if not self.error_ms < self.latency_ms:
            raise ValueError(
                f"error_ms must be below latency_ms, {self.latency_ms:g}; got {self.error_ms}"
            )

    @property
    def name(self) -> str:
        """What to call the network in a table."""
        return self.architecture.name or shape_text(self.architecture)

    @property
    def identity(self) -> tuple[str, str, str]:
        """What no two rows may share: the network, and who timed it with what."""
        return network(self.architecture).key, self.tool, self.source


class OwnLatencies(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `latencies.json` (schema 1)."""

    schema: Literal[1] = 1
    rows: tuple[OwnLatency, ...] = ()


def read_own(path: Path) -> tuple[OwnLatency, ...]:
    """Return the rows of a `latencies.json`; none where there is no such file."""
    return files.read_json(path, OwnLatencies).rows if path.is_file() else ()


def write_own(path: Path, latencies: Sequence[OwnLatency]) -> None:
    """Write a `latencies.json`, one row a line."""
    files.write_bytes(path, files.encode_lines(OwnLatencies(rows=tuple(latencies)), "rows"))


def own_observations(
    latencies: Sequence[OwnLatency], published: Sequence[Observation] = ()
) -> list[Observation]:
    """Return rows as observations.

    A network that was published too keeps its name: how far a model misses it is the same for both.
    """
    names = {frozenset(item.units): item.network for item in reversed(published)}
    found = []
    for row in latencies:
        units = tuple(sorted(count(rows(row.architecture)).items(), key=repr))
        found.append(
            Observation(
                name=row.name,
                network=names.get(frozenset(units), network(row.architecture).key),
                family=_FAMILY,
                resolution=row.architecture.resolution,
                units=units,
                latency_ms=row.latency_ms,
                error_ms=row.error_ms,
                tool=row.tool,
                source=row.source,
            )
        )
    return found
