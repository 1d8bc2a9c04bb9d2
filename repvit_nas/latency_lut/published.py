"""Latencies that somebody published: whole networks, read from `latency_lut/<device>/`.

A modelled device has no timed units; what it knows are rows of papers. They become the same record
as a measurement: a bag of counted units and a time with its error.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.architecture import SE_PATTERNS, Architecture, Stage, se_bits
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.device import Device
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.quantities import Milliseconds, Several, Side
from repvit_nas.search_space.family import family
from repvit_nas.units import Unit, count, rows

PUBLISHED_FILE: Final = "published.csv"
# Rows that a fit is compared with and never sees.
PATH_FILE: Final = "path.csv"
# A rounded figure is uniform over its rounding step.
UNIFORM_SD: Final = 12**-0.5

# What a network hands back: class scores, the feature maps of its four stages (counted as output),
# or its last map only (as small as scores, so not counted).
Handed = Literal["logits", "features", "map"]


class UnitCount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A unit and how often a network has it."""

    unit: Unit
    count: Several


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published network of another family as a bag of operations."""

    name: str
    family: str
    resolution: Side
    output: Handed
    units: tuple[UnitCount, ...]


class PublishedLatency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of `published.csv`.

    Attributes:
        network: A reference network or one of `networks.jsonl`.
        se: For RepViT networks, the placement of SE.
        resolution: Input side in pixels.
        output: What the network hands back.
        latency_ms: As printed.
        rounding_ms: The step the printed figure was rounded to.
        tool: How it was timed; rows of one tool and source share a relative offset.
        source: Who timed it.
        reference: Where it was published.
        note: Anything a reader should know.
        excluded: Why the row takes no part in the fit; empty where it does.
    """

    network: str
    resolution: Side
    output: Handed
    latency_ms: Milliseconds
    rounding_ms: Milliseconds
    tool: str
    source: str
    reference: str
    se: Literal["none", "alternate", "all"] = "alternate"
    note: str = ""
    excluded: str = ""


@functools.lru_cache(maxsize=1)
def foreign_networks() -> dict[tuple[str, int, Handed], Network]:
    """Return the published networks of other families by name, resolution and output."""
    path = data.find("latency_lut", "networks.jsonl", "list of published networks").path
    networks = read_networks(path)
    return {(network.name, network.resolution, network.output): network for network in networks}


def read_networks(path: Path) -> list[Network]:
    """Read a `networks.jsonl`.

    Raises:
        FileError: A line is no network.
    """
    # A person may have written the last line, which has no end then: it counts.
    try:
        lines = [msgspec.json.decode(line) for line in files.read_bytes(path).splitlines()]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: is no valid JSON lines file: {error}") from error
    return files.convert(path, lines, list[Network], schema=None)


def published_architecture(row: PublishedLatency) -> Architecture:
    """Return the RepViT network that a row speaks of."""
    base = family()[row.network].architecture
    first, second, third, fourth = (
        Stage(
            width=stage.width,
            depth=stage.depth,
            se=se_bits(SE_PATTERNS[row.se], stage.depth),
            expansion=stage.expansion,
            kernel=stage.kernel,
        )
        for stage in base.stages
    )
    return Architecture(
        name=row.network,
        resolution=row.resolution,
        num_classes=1000 if row.output == "logits" else 0,
        stages=(first, second, third, fourth),
    )


def read_published(path: Path) -> list[PublishedLatency]:
    """Read the rows of a `published.csv`."""
    return files.read_csv(path, PublishedLatency)


def published_of(device: Device) -> tuple[PublishedLatency, ...]:
    """Read what was published of a device; nothing of one that has no `published.csv`.

    Raises:
        FileError: The file is not valid.
    """
    path = device.path(PUBLISHED_FILE)
    return tuple(read_published(path)) if path.is_file() else ()


def observation(row: PublishedLatency, path: Path | str = PUBLISHED_FILE) -> Observation:
    """Turn a published row into an observation.

    Raises:
        FileError: The row names a network that is not known.
    """
    if row.network in family():
        group, units = "repvit", count(rows(published_architecture(row)))
        variant = "" if row.se == "alternate" else f" se={row.se}"
    else:
        network = foreign_networks().get((row.network, row.resolution, row.output))
        if network is None:
            raise FileError(
                f"{path}: {row.network} at {row.resolution} px with {row.output} is neither a "
                "reference network nor in latency_lut/networks.jsonl: add it there with "
                "tools/trace_networks.py"
            )
        group, variant = network.family, ""
        units = Counter({item.unit: item.count for item in network.units})
    at = "" if row.resolution == 224 else f" @{row.resolution}"
    return Observation(
        name=f"{row.network}{at}{variant}",
        network=f"{row.network}{at}",
        family=group,
        resolution=row.resolution,
        units=tuple(sorted(units.items(), key=repr)),
        latency_ms=row.latency_ms,
        error_ms=row.rounding_ms * UNIFORM_SD,
        tool=row.tool,
        source=row.source,
    )


def read_observations(path: Path) -> list[Observation]:
    """Read a `published.csv` as observations, excluded rows left out."""
    return [observation(row, path) for row in read_published(path) if not row.excluded]


class PathLatency(PublishedLatency, frozen=True, forbid_unknown_fields=True):
    """One row of `path.csv`: a network that differs from another one of it in one step.

    Attributes:
        after: The network that the step is from; empty where it is none.
    """

    after: str = ""


class PathStep(NamedTuple):
    """A network of a path, and the name of the one that it is a step from, if any."""

    observation: Observation
    after: str


def read_path(path: Path) -> list[PathStep]:
    """Read a `path.csv`.

    Raises:
        FileError: It is not valid, or a step is from a network that is not in it.
    """
    rows = files.read_csv(path, PathLatency)
    names = {row.network for row in rows}
    for row in rows:
        if row.after and row.after not in names:
            raise FileError(f"{path}: {row.network} is a step from {row.after}, which is not in it")
    return [PathStep(observation(row, path), row.after) for row in rows]


def published_latency(
    name: str,
    rows: Sequence[PublishedLatency],
    *,
    resolution: int = 224,
    output: Handed = "logits",
) -> PublishedLatency | None:
    """Return the published latency of a reference network at a resolution, the most precise one."""
    matching = [
        row
        for row in rows
        if (row.network, row.se, row.resolution, row.output)
        == (name, "alternate", resolution, output)
        and not row.excluded
    ]
    return min(matching, key=lambda row: row.rounding_ms, default=None)
