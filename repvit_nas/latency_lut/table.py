"""The table that visits make: `latency_lut/<device>/table.json`.

One row for each unit, network and lone unit, each with the interval that the rounds give it.
"""

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.architecture import LOGITS, OutputKind
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.device import check_device
from repvit_nas.latency_lut.pace import steadiest
from repvit_nas.latency_lut.plan import Plan
from repvit_nas.latency_lut.statistics import (
    NORMAL_90,
    PROTOCOL_VERSION,
    Estimate,
    Statistic,
    estimate,
    noise_floor,
    rounded,
    sentinel_ms,
)
from repvit_nas.latency_lut.terms import Role, plan_terms
from repvit_nas.latency_lut.visits import Visit
from repvit_nas.networks import told
from repvit_nas.quantities import (
    Deviation,
    Duration,
    Factor,
    Milliseconds,
    RelativeDeviation,
    Several,
    Share,
    SignedMilliseconds,
    check_interval,
)
from repvit_nas.units import Network, Unit

TABLE_FILE: Final = "table.json"
# A machine is as it was if its sentinel takes as long as it did, up to this share.
_ALIKE: Final = 0.05
# No less of a row's error than this share is its own, whatever its series has in common.
_LEAST_OWN: Final = 0.05


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A latency with its error.

    Attributes:
        latency_ms: Milliseconds for one image.
        sd_ms: Standard deviation of that.
        low_ms: Lower end of the 90 % interval; below 0 where a small cost is hardly known.
        high_ms: Its upper end.
        rounds: Rounds it rests on.
        series: The series that it was timed in, where that is not the table's own.
    """

    latency_ms: Milliseconds
    sd_ms: Milliseconds
    low_ms: SignedMilliseconds
    high_ms: SignedMilliseconds
    rounds: Several
    series: str = ""

    def __post_init__(self) -> None:
        """Check that the interval is one."""
        check_interval(self.low_ms, self.latency_ms, self.high_ms, "latency_ms")


class UnitRow(_Row, frozen=True, kw_only=True, tag="unit"):
    """What one unit costs in the middle of a network; `calls` of a call's overhead included."""

    unit: Unit
    calls: Share = 0.0

    @property
    def resolved(self) -> bool:
        """Whether its cost can be told from nothing: it is larger than its error."""
        return self.latency_ms > self.sd_ms


class NetworkRow(_Row, frozen=True, kw_only=True, tag="network"):
    """What a whole network took; no fit of a measured device sees those with the role `held_out`."""

    role: Role
    architecture: Network


class IsolatedRow(_Row, frozen=True, kw_only=True, tag="isolated"):
    """What a unit took in a call of its own: a baseline that the fit never sees."""

    unit: Unit


RowT = TypeVar("RowT", bound=UnitRow | NetworkRow)


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `table.json` (schema 1).

    Attributes:
        device: Whose latencies they are.
        protocol: Version of the measuring protocol.
        statistic: The quantile of a visit's series that was taken.
        across_rounds: The quantile of the rounds that was taken.
        variation: How far rounds differ by quantile, relative standard deviation.
        drift: What the rounds were divided by.
        pace: How far the machine's pace moved within rounds, relative standard deviation, where each
            visit was divided by it; 0 where none was.
        noise_floor: How far two measurements of the same network differ, root mean square share.
        sentinel_ms: What the sentinel took: whether the machine is as it was can be told by it.
        minutes: What the visits took.
        unresolved: Units whose cost could not be told from nothing.
        shared_sd: Relative standard deviation that all rows of a series have in common, by series:
            they were brought to the table's own by one factor, which is off by so much.
        rows: The latencies.
    """

    schema: Literal[1] = 1
    device: str
    protocol: Several
    statistic: Share
    across_rounds: Share
    variation: dict[str, Deviation]
    drift: tuple[Factor, ...]
    pace: Deviation = 0.0
    noise_floor: Deviation | None
    sentinel_ms: Milliseconds | None = None
    minutes: Duration
    unresolved: tuple[Unit, ...] = ()
    shared_sd: dict[str, RelativeDeviation] = {}
    rows: tuple[UnitRow | NetworkRow | IsolatedRow, ...]

    def __post_init__(self) -> None:
        """Check that nothing is there twice."""
        seen = Counter(
            ("network", repr((told(row.architecture), row.architecture.resolution)))
            if isinstance(row, NetworkRow)
            else (type(row).__name__, repr(row.unit))
            for row in self.rows
        )
        for (_, what), times in seen.items():
            if times > 1:
                raise ValueError(
                    f"rows must hold a unit or network once; got {times} rows of {what}"
                )
        unknown = {row.series for row in self.rows if row.series} - self.shared_sd.keys()
        if unknown:
            raise ValueError(f"shared_sd must name every series of a row; got none of {unknown}")

    @property
    def resolution(self) -> int | None:
        """Input side in pixels of the networks; None if there are none."""
        sides = [row.architecture.resolution for row in self.rows if isinstance(row, NetworkRow)]
        return sides[0] if sides else None

    @property
    def output(self) -> OutputKind:
        """What the networks hand back; a table of units alone is for classifiers."""
        found = (row.architecture.output for row in self.rows if isinstance(row, NetworkRow))
        return next(found, LOGITS)

    @property
    def chosen(self) -> Statistic:
        """The statistic that was taken."""
        return Statistic(self.statistic, self.across_rounds, paced=self.pace > 0)

    @property
    def units(self) -> list[UnitRow]:
        """The rows of units."""
        return [row for row in self.rows if isinstance(row, UnitRow)]

    @property
    def isolated(self) -> dict[Unit, float]:
        """Milliseconds of lone units."""
        return {row.unit: row.latency_ms for row in self.rows if isinstance(row, IsolatedRow)}

    def networks(self, role: str) -> list[NetworkRow]:
        """The rows of networks of a role."""
        return [row for row in self.rows if isinstance(row, NetworkRow) and row.role == role]

    def own_sd_ms(self, row: UnitRow | NetworkRow) -> float:
        """Return the standard deviation of a row without what its whole series has in common."""
        shared = self.shared_sd.get(row.series, 0.0) * row.latency_ms
        return math.sqrt(max(row.sd_ms**2 - shared**2, (_LEAST_OWN * row.sd_ms) ** 2))


def build_table(
    device: str,
    plan: Plan,
    visits: Sequence[Visit],
    *,
    statistic: Statistic | None = None,
    usual_repeat: float | None = None,
) -> Table:
    """Return the table that `visits` make.

    All rows follow from figures that are computed once, by one statistic, as :func:`plan_terms` says.

    Args:
        device: Whose table it is.
        plan: What was timed.
        visits: The visits that count.
        statistic: The statistic to take; the steadiest by default.
        usual_repeat: By which share two visits of a program differ where the rounds do not tell;
            None takes what was never repeated for exact.
    """
    asked = plan_terms(plan, {visit.key for visit in visits})
    known, sentinel = steadiest(visits, asked, statistic)
    numbers = functools.partial(estimate, known, usual_repeat=usual_repeat)
    units = [
        UnitRow(*rounded(numbers(each.terms)), unit=each.unit, calls=each.calls)
        for each in asked.units
    ]
    networks = [
        NetworkRow(*rounded(numbers(each.terms)), role=each.role, architecture=each.architecture)
        for each in asked.networks
    ]
    alone = [IsolatedRow(*rounded(numbers(each.terms)), unit=each.unit) for each in asked.isolated]
    floor = noise_floor(known, [key for each in asked.networks for key, _ in each.terms])
    return Table(
        device=device,
        protocol=PROTOCOL_VERSION,
        statistic=known.statistic,
        across_rounds=known.across,
        variation={str(quantile): round(value, 5) for quantile, value in known.variation.items()},
        drift=tuple(round(float(value), 4) for value in known.drift),
        pace=round(known.pace, 5),
        noise_floor=None if math.isnan(floor) else round(floor, 5),
        sentinel_ms=sentinel_ms(known, sentinel),
        minutes=round(sum(visit.seconds for visit in visits) / 60, 2),
        # Nothing is ever priced at 0, nor below.
        unresolved=tuple(row.unit for row in units if not row.resolved),
        rows=(*(row for row in units if row.resolved), *networks, *alone),
    )


def spread(row: RowT, latency_ms: float, sd_ms: float, rounds: int) -> RowT:
    """Return a row with another latency and error."""
    half = NORMAL_90 * sd_ms
    numbers = Estimate(latency_ms, sd_ms, latency_ms - half, latency_ms + half, rounds)
    fields = ("latency_ms", "sd_ms", "low_ms", "high_ms", "rounds")
    return msgspec.structs.replace(row, **dict(zip(fields, rounded(numbers), strict=True)))


def read_table(path: Path, device: str = "") -> Table:
    """Read a device's table.

    Raises:
        FileError: It is not valid, of another device or of another protocol version.
    """
    table = files.read_json(path, Table)
    check_device(path, table.device, device)
    if table.protocol != PROTOCOL_VERSION:
        raise FileError(
            f"{path}: was measured by protocol {table.protocol}, this version's is "
            f"{PROTOCOL_VERSION}: measure again into another --device name"
        )
    return table


def write_table(path: Path, table: Table) -> None:
    """Write a table, one row a line."""
    files.write_bytes(path, files.encode_lines(table, "rows"))


def interval_share(table: Table) -> float:
    """Return half the width of the networks' intervals as a share, the median over networks."""
    rows = [row for row in table.rows if isinstance(row, NetworkRow)]
    shares = [(row.high_ms - row.low_ms) / 2 / row.latency_ms for row in rows]
    return float(np.median(shares)) if shares else math.inf


def slower_now(then: Table, now: Table) -> str:
    """Say that the machine is not as it was when a table was made; empty if it is."""
    if then.sentinel_ms is None or now.sentinel_ms is None:
        return ""
    ratio = now.sentinel_ms / then.sentinel_ms
    if abs(math.log(ratio)) < _ALIKE:
        return ""
    return (
        f"the sentinel takes {now.sentinel_ms:.2f} ms now and took {then.sentinel_ms:.2f} ms when "
        f"device {then.device!r} was measured ({ratio:.2f} times): other programs are running, or "
        "the machine is in another state; figures of now and predictions do not compare"
    )


def isolated_sum(unit_ms: Mapping[Unit, float], units: Mapping[Unit, int]) -> float:
    """Return the plain sum of lone units' latencies; nan if one was not timed."""
    return sum(count * unit_ms.get(unit, math.nan) for unit, count in units.items())
