"""Several series of one device: measured on it, or imported; never pooled, but fitted together.

A *series* is a folder of its own, `latency_lut/<device>/series/<name>/`, with its circumstances,
plan, visits and placements: one system build, one way of running. What the series say of units and
networks is combined into the device's table: one series, the reference, is taken as it is, the others
are brought to it by one factor each, estimated from what both timed, whose error all their rows have in
common. Cold calls, other models, resolutions and outputs are left aside; two system builds are never averaged.
"""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.architecture import LOGITS
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.device import (
    DEVICE_FILE,
    OUTPUT,
    RESOLUTION,
    DeviceFile,
    differences,
    read_device,
)
from repvit_nas.latency_lut.placement import (
    PLACEMENTS_FILE,
    gated_table,
    off_the_engine,
    read_placements,
)
from repvit_nas.latency_lut.plan import PLAN_FILE, Plan
from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
from repvit_nas.latency_lut.table import IsolatedRow, NetworkRow, Table, UnitRow, spread
from repvit_nas.latency_lut.visits import VisitLog
from repvit_nas.programs import network
from repvit_nas.quantities import Count, Deviation, Factor

SERIES_FOLDER: Final = "series"
SOURCES_FILE: Final = "sources.json"
# What a report that does not say so is noted with.
NOT_STATED: Final = "not stated"
# Two ways of timing one device usually differ by this share as a whole.
USUAL_OFFSET: Final = 0.06
# No factor between two series is the same for every program to better than this.
_LEAST_OFFSET: Final = 0.005

Row = UnitRow | NetworkRow


class Series(NamedTuple):
    """One series.

    Attributes:
        name: Its folder's name.
        file: Its circumstances.
        table: What it says, programs that do not count left out.
        left_out: How many programs were timed but do not count.
        elsewhere: Operations of these that do not run on the Neural Engine, or the processors that
            they were kept to.
        when: When its last visit was made or imported, in seconds.
    """

    name: str
    file: DeviceFile
    table: Table
    left_out: int
    elsewhere: tuple[str, ...] = ()
    when: float = 0.0

    @property
    def loop(self) -> str:
        """How its calls followed each other: warm, or cold and seconds apart."""
        return self.file.circumstances.get("loop", "warm")

    @property
    def model(self) -> str:
        """The model that it was measured on, as Apple calls it."""
        return self.file.circumstances.get("processor", "").partition(" (")[2].removesuffix(")")

    @property
    def system(self) -> str:
        """The system with its build, as far as it is known."""
        return self.file.circumstances.get("os", NOT_STATED)

    @property
    def imported(self) -> bool:
        """Whether others timed it: a session notes its day."""
        return "date" not in self.file.circumstances


class Contribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one series gave to the device's table.

    Attributes:
        series: Its name.
        units: Units that it timed.
        networks: Networks that it timed.
        left_out: Programs that did not run on the Neural Engine alone, and are left out.
        shared: Latencies that it has in common with the sources before it.
        factor: What its latencies were divided by.
        factor_sd: Relative standard deviation of that.
    """

    series: files.FileName
    units: Count
    networks: Count
    left_out: Count = 0
    shared: Count = 0
    factor: Factor = 1.0
    factor_sd: Deviation = 0.0


class Aside(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A series that gave nothing to the device's table.

    Attributes:
        series: Its name.
        why: What makes it unfit to be combined with the others.
    """

    series: str
    why: str


class Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `sources.json` (schema 1); the first source is the reference."""

    schema: Literal[1] = 1
    sources: tuple[Contribution, ...]
    aside: tuple[Aside, ...] = ()


def series_folder(folder: Path, name: str) -> Path:
    """Return the folder of a device's series."""
    return folder / SERIES_FOLDER / name


def series_name(
    folder: Path, wanted: str, circumstances: dict[str, str], plan: Plan | None = None
) -> str:
    """Return the name of the series that figures of these circumstances belong to.

    Where a series called so has others, such as another version of the runtime or another phone, or
    was planned with other options, that one stays as it is, and a number behind the name makes it
    another.

    Args:
        folder: The device's folder.
        wanted: The series' name.
        circumstances: The circumstances of the figures.
        plan: What is to be timed, where a session goes on with its own options only.

    Raises:
        FileError: A series' file is not valid.
    """
    for number in itertools.count(1):
        name = wanted if number == 1 else f"{wanted}_{number}"
        home = series_folder(folder, name)
        if not (home / DEVICE_FILE).is_file():
            if not VisitLog(home).path.is_file():
                break
            continue
        found = files.read_json(home / DEVICE_FILE, DeviceFile)
        same = not differences(found.circumstances, circumstances)
        if same and found.protocol == PROTOCOL_VERSION and not other_option(home, plan):
            break
    return name


def other_option(home: Path, plan: Plan | None) -> str:
    """Return the first option by which a series was planned otherwise; empty if it was not."""
    path = home / PLAN_FILE
    if plan is None or not path.is_file():
        return ""
    return files.read_json(path, Plan).other_option(plan)


def read_series(folder: Path, device: str, *, everywhere: bool = False) -> list[Series]:
    """Return the series of a device that have visits, by name.

    Args:
        folder: The device's folder.
        device: The device's name.
        everywhere: Count programs too that did not run on the Neural Engine alone.

    Raises:
        FileError: A file is not valid.
    """
    root = folder / SERIES_FOLDER
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = []
    for name in names:
        home = files.inside(folder, root / name)
        log = VisitLog(home)
        visits = log.read()
        if not visits:
            continue
        for file in (DEVICE_FILE, PLAN_FILE):
            if not (home / file).is_file():
                raise FileError(
                    f"{home / file}: is missing, but {log.path.name} beside it holds visits: "
                    f"restore the file, or move {home} elsewhere to go on without this series"
                )
        plan = files.read_json(home / PLAN_FILE, Plan)
        placements = read_placements(home / PLACEMENTS_FILE)
        counted = frozenset() if everywhere else off_the_engine(placements)
        uncounted = counted & {visit.key for visit in visits}
        names_elsewhere = {
            operation
            for key in uncounted
            for operation in placements[key].elsewhere or placements[key].preferred
        }
        found.append(
            Series(
                name,
                read_device(home / DEVICE_FILE, device),
                gated_table(device, plan, visits, counted),
                len(uncounted),
                tuple(sorted(names_elsewhere)),
                log.path.stat().st_mtime,
            )
        )
    return found


def chosen(
    series: Sequence[Series], meets: Callable[[Table], bool], latest: str = ""
) -> tuple[list[Series], tuple[Aside, ...]]:
    """Return the series that can be combined, the reference first, and those left aside.

    The reference is one that suffices alone, if any does; among those one that was measured on the
    device here, not imported; then the newest; then the one with most units.

    Args:
        series: At least one.
        meets: Whether a series' table suffices for a measured device.
        latest: The series that was measured just now: the newest, whatever its file says.
    """
    aside: list[Aside] = []
    loops = {one.loop for one in series}
    loop = "warm" if "warm" in loops else min(loops)
    ordered = sorted(
        (one for one in series if one.loop == loop),
        key=lambda one: (
            not meets(one.table),
            one.imported,
            one.name != latest,
            -one.when,
            [-number for number in _build(one.system)],
            -len(one.table.units),
            one.name,
        ),
    )
    aside += [
        Aside(series=one.name, why=f"its calls are {one.loop}, the others' {loop}")
        for one in series
        if one.loop != loop
    ]
    first = ordered[0]
    unlike = {one.name: _unlike(one, first) for one in ordered}
    aside += [Aside(series=name, why=why) for name, why in unlike.items() if why]
    return [one for one in ordered if not unlike[one.name]], tuple(aside)


def _unlike(one: Series, first: Series) -> str:
    """Say why a series is of other networks or another phone than the first; empty if it is not."""
    if one.model != first.model:
        return f"it is of {one.model or NOT_STATED}, and {first.name} of {first.model}"
    mine, theirs = one.file.circumstances, first.file.circumstances
    for what, key, usual in (("take", RESOLUTION, NOT_STATED), ("hand back", OUTPUT, LOGITS)):
        if mine.get(key, usual) != theirs.get(key, usual):
            return (
                f"its networks {what} {mine.get(key, usual)}, the others' {theirs.get(key, usual)}"
            )
    return ""


def _build(system: str) -> list[int]:
    """Return a system's version and build as numbers, for sorting."""
    parts = re.findall(r"[0-9]+|(?<=[0-9])[A-Z](?=[0-9])", system)
    return [int(part) if part.isdigit() else ord(part) for part in parts]


def combined(
    series: Sequence[Series],
    *,
    meets: Callable[[Table], bool] = lambda _: True,
    latest: str = "",
) -> tuple[Table, Sources]:
    """Return one table of several series, and what each gave.

    What two series of one system timed is averaged; of two systems the row of the series that comes
    first stays, and the other only gives what that one lacks.

    Args:
        series: The series.
        meets: Whether a series' table suffices for a measured device.
        latest: The series that was measured just now.

    Raises:
        FileError: There is no series.
    """
    if not series:
        raise FileError("there is no series to combine: measure or import one first")
    ordered, aside = chosen(series, meets, latest)
    first = ordered[0]
    rows = _rows(first.table)
    systems = dict.fromkeys(rows, first.system)
    sources = [_source(first)]
    shared_sd: dict[str, float] = {}
    for other in ordered[1:]:
        theirs = _rows(other.table)
        factor, error, shared = _factor(rows, theirs, shared_sd)
        sources.append(
            msgspec.structs.replace(
                _source(other),
                shared=shared,
                factor=round(factor, 5),
                factor_sd=round(error, 5),
            )
        )
        shared_sd[other.name] = round(error, 5)
        for key, row in theirs.items():
            value = row.latency_ms / factor
            sd = math.hypot(row.sd_ms / factor, value * error)
            scaled = msgspec.structs.replace(spread(row, value, sd, row.rounds), series=other.name)
            if key not in rows:
                rows[key], systems[key] = scaled, other.system
            elif systems[key] == other.system != NOT_STATED:
                rows[key] = _mean(rows[key], scaled)
    alone = [row for row in first.table.rows if isinstance(row, IsolatedRow)]
    timed = [row for row in rows.values() if isinstance(row, UnitRow)]
    units = [row for row in timed if row.resolved]
    networks = [row for row in rows.values() if isinstance(row, NetworkRow)]
    resolved = {row.unit for row in units}
    # Not to be told from nothing, in any series.
    hardly = [row.unit for row in timed] + [
        unit for one in ordered for unit in one.table.unresolved
    ]
    table = msgspec.structs.replace(
        first.table,
        rows=(*units, *networks, *alone),
        shared_sd=shared_sd,
        unresolved=tuple(dict.fromkeys(unit for unit in hardly if unit not in resolved)),
    )
    return table, Sources(sources=tuple(sources), aside=aside)


def _source(one: Series) -> Contribution:
    networks = sum(isinstance(row, NetworkRow) for row in one.table.rows)
    return Contribution(
        series=one.name,
        units=len(one.table.units),
        networks=networks,
        left_out=one.left_out,
    )


def _rows(table: Table) -> dict[object, Row]:
    """Return a table's units and networks, by unit and by program."""
    found: dict[object, Row] = {}
    for row in table.rows:
        if isinstance(row, UnitRow):
            found[row.unit] = row
        elif isinstance(row, NetworkRow):
            found[network(row.architecture).key] = row
    return found


def _factor(
    mine: Mapping[object, Row], theirs: Mapping[object, Row], shared_sd: Mapping[str, float]
) -> tuple[float, float, int]:
    """Return how much slower `theirs` is, the relative error of that, and on how many it rests.

    Args:
        mine: What is known so far.
        theirs: What another series says.
        shared_sd: What rows of `mine` have in common, by series: many of them do not lower that.
    """
    shared = [key for key in theirs if key in mine]
    if not shared:
        return 1.0, USUAL_OFFSET, 0
    pairs = [(theirs[key], mine[key]) for key in shared]
    ratio = np.log([one.latency_ms / other.latency_ms for one, other in pairs])
    common = np.array([shared_sd.get(other.series, 0.0) for _, other in pairs])
    variance = np.array(
        [(a.sd_ms / a.latency_ms) ** 2 + (b.sd_ms / b.latency_ms) ** 2 for a, b in pairs]
    )
    own = np.maximum(variance - common**2, 0.0) + _LEAST_OFFSET**2
    # The usual offset is what is expected before anything is compared.
    precision = np.concatenate([1 / own, [1 / USUAL_OFFSET**2]])
    mean = float((precision[:-1] @ ratio) / precision.sum())
    taken: dict[str, float] = {}
    for (_, other), weight in zip(pairs, precision[:-1] / precision.sum(), strict=True):
        taken[other.series] = taken.get(other.series, 0.0) + float(weight)
    carried = [weight * shared_sd.get(name, 0.0) for name, weight in taken.items()]
    error = math.hypot(precision.sum() ** -0.5, _LEAST_OFFSET, *carried)
    return math.exp(mean), error, len(shared)


def _mean(one: Row, other: Row) -> Row:
    """Return the mean of two latencies of the same thing, each weighed by its error.

    It counts as a row of the first series: what the other's rows have in common is a part of its
    error, and of a few rows only.
    """
    weights = (one.sd_ms**-2, other.sd_ms**-2)
    total = sum(weights)
    value = (weights[0] * one.latency_ms + weights[1] * other.latency_ms) / total
    # Two figures that disagree by more than their errors are not as sure as their errors say.
    apart = abs(one.latency_ms - other.latency_ms) / math.hypot(one.sd_ms, other.sd_ms)
    return spread(one, value, max(1.0, apart) * total**-0.5, one.rounds + other.rounds)
