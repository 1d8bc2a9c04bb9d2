"""`devices`, `family` and `table`: what there is to predict for, and what is known of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from repvit_nas.accuracy.family import FamilyEstimator
from repvit_nas.api.loading import estimator_of, integer, predictor_of, title_of
from repvit_nas.api.shown import ShownRows, axes_or_new, bars_with_intervals
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import UnknownNameError, WrongTypeError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import (
    UNIFORM_SD,
    PublishedLatency,
    published_of,
)
from repvit_nas.latency_lut.table import TABLE_FILE, NetworkRow, Table, read_table
from repvit_nas.predictors.lookup import Outside
from repvit_nas.predictors.overview import DeviceOverview, overview
from repvit_nas.report.family_rows import FamilyRow, family_rows
from repvit_nas.report.network import unit_text
from repvit_nas.report.run_report import behind, family_table
from repvit_nas.report.tables import Grid
from repvit_nas.search_space.space import load_space


class Devices(ShownRows[DeviceOverview], msgspec.Struct, frozen=True):
    """The devices there are; `devices()["iphone12"]` is one of them."""

    rows: tuple[DeviceOverview, ...]

    def __getitem__(self, name: str) -> DeviceOverview:
        """Return the device of a name."""
        by_name = {row.device: row for row in self.rows}
        if name not in by_name:
            raise UnknownNameError.of("device", str(name), list(by_name))
        return by_name[name]

    def grid(self) -> Grid:
        """Return the table that is shown."""
        cells = [
            (
                row.device,
                row.title,
                row.kind,
                f"{row.observations} latencies" if row.observations else "not fitted",
                "" if row.left_out_percent is None else f"{row.left_out_percent:.1f}",
                row.found,
            )
            for row in self.rows
        ]
        left = ("what", "latencies are", "from")
        header = (
            "device",
            "what",
            "latencies are",
            "fitted on",
            "error on unseen networks, %",
            "from",
        )
        return Grid.of(
            "", header, cells, left=left, drop={"from": 2, "fitted on": 1}, wraps=("what",)
        )

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: the fields of each device."""
        return {name: [getattr(row, name) for row in self.rows] for name in DeviceOverview._fields}

    def plot(self, axes: Any = None) -> Any:
        """Draw how far off each fitted device is on networks that no fit saw; return the axes."""
        drawn = axes_or_new(axes)
        known = [row for row in self.rows if row.left_out_percent is not None]
        drawn.barh([row.device for row in known], [row.left_out_percent for row in known])
        drawn.invert_yaxis()
        drawn.set_xlabel("mean error on networks that no fit saw, %")
        drawn.grid(alpha=0.25, axis="x")
        return drawn


def devices() -> Devices:
    """Return the devices there are: how their latencies are known, and how far off predictions are.

    Raises:
        FileError: A device's file is not valid.
    """
    return Devices(tuple(overview()))


class Family(ShownRows[FamilyRow], msgspec.Struct, frozen=True):
    """The reference networks on a device, published and predicted.

    Attributes:
        device: The device.
        rows: The networks, smallest first.
        found: Which copy of the predictor was used.
    """

    device: str
    rows: tuple[FamilyRow, ...]
    found: str

    def __getitem__(self, name: str) -> FamilyRow:
        """Return the network of a name, such as `repvit_m0_9`."""
        by_name = {row.reference.name: row for row in self.rows}
        if name not in by_name:
            raise UnknownNameError.of("network", str(name), list(by_name))
        return by_name[name]

    def grid(self) -> Grid:
        """Return the table that is shown."""
        title = f"On {self.device}{behind(self.rows)}, {self.rows[0].latency.source}"
        return family_table(title, self.rows, errors=True)

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: published and predicted latency and accuracy."""
        documents = [row.document() for row in self.rows]
        return {name: [document[name] for document in documents] for name in documents[0]}

    def plot(self, axes: Any = None) -> Any:
        """Draw accuracy against latency, published and predicted; return the axes."""
        drawn = axes_or_new(axes)
        published = [row for row in self.rows if None not in (row.published_ms, row.published_top1)]
        predicted = [(row.latency.latency_ms, row.accuracy) for row in self.rows]
        drawn.plot(*zip(*predicted, strict=True), "x", label="predicted")
        drawn.plot(
            [row.published_ms for row in published],
            [row.published_top1 for row in published],
            "s",
            label="published",
        )
        for row, point in zip(self.rows, predicted, strict=True):
            drawn.annotate(row.reference.title, point, xytext=(5, -11), textcoords="offset points")
        drawn.set_xlabel(f"latency on {self.device} in ms, {self.rows[0].latency.source}")
        drawn.set_ylabel("top-1, %")
        drawn.legend()
        drawn.grid(alpha=0.25)
        return drawn


def family(
    device: str = DEFAULT_DEVICE,
    *,
    resolution: int = 224,
    accuracy: str = FamilyEstimator.name,
    foreign: bool = False,
    outside: Outside = "flag",
) -> Family:
    """Compare every reference network: published and predicted latency and accuracy.

    Args:
        device: The device to predict for.
        resolution: Side of the input in pixels.
        accuracy: What estimates accuracies.
        foreign: Accept a processor's table that was measured on another machine.
        outside: What to do with units outside the measured range, as in `predict`.

    Raises:
        WrongTypeError: An argument is of a type that has no meaning here.
        RepvitNasError: There is no such device or estimator, or the resolution is none of the space.
    """
    load_space("repvit")[0].check_resolution(integer("resolution", resolution))
    predictor, found = predictor_of(device, foreign=foreign, outside=outside)
    published = published_of(load_device(device))
    rows = family_rows(published, predictor, estimator_of(accuracy), resolution=resolution)
    return Family(device, tuple(rows), found)


Kind = Literal["unit", "network", "isolated", "published"]


class Known(msgspec.Struct, frozen=True):
    """One latency that is known of a device.

    Attributes:
        kind: A unit in the middle of a network, a whole network, a unit in a call of its own, or a
            network whose latency somebody published.
        name: The unit's kind and fields, or the network's name.
        latency_ms: Milliseconds for one image.
        sd_ms: Standard deviation of that.
        low_ms: Lower end of its interval: 90 % of what was timed, the rounding of what was published.
        high_ms: Its upper end.
        observations: Rounds that it rests on; 1 for what was published.
        source: The series it was timed in, or who published it.
    """

    kind: Kind
    name: str
    latency_ms: float
    sd_ms: float
    low_ms: float
    high_ms: float
    observations: int
    source: str


class DeviceTable(ShownRows[Known], msgspec.Struct, frozen=True):
    """What is known of a device.

    Attributes:
        device: Its name.
        title: The name people use.
        rows: What was timed, then what was published.
        found: Where it was found.
    """

    device: str
    title: str
    rows: tuple[Known, ...]
    found: str

    def grid(self) -> Grid:
        """Return the table that is shown."""
        cells = [
            (
                row.name,
                row.kind,
                f"{row.latency_ms:.4g} ({row.low_ms:.4g}-{row.high_ms:.4g})",
                str(row.observations),
                row.source,
            )
            for row in self.rows
        ]
        header = ("what", "kind", "ms (interval)", "observations", "source")
        drop = {"source": 2, "kind": 1}
        return Grid.of(self.title, header, cells, left=("kind", "source"), drop=drop)

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: units and networks, costs, intervals and counts."""
        return {name: [getattr(row, name) for row in self.rows] for name in Known.__struct_fields__}

    def plot(self, axes: Any = None) -> Any:
        """Draw each latency with its interval into matplotlib's `axes`, or new ones; return them."""
        names = [row.name for row in self.rows]
        ends = [(row.low_ms, row.high_ms) for row in self.rows]
        drawn = bars_with_intervals(axes, names, [row.latency_ms for row in self.rows], ends)
        drawn.set_xscale("log")
        drawn.set_xlabel(f"ms on {self.device}")
        return drawn


def table(device: str = DEFAULT_DEVICE) -> DeviceTable:
    """Return what is known of a device: timed units and networks, and published networks.

    Args:
        device: The device's name.

    Raises:
        WrongTypeError: The name is no text.
        UnknownNameError: There is no such device; the message suggests the nearest.
        FileError: Its files are not valid.
    """
    if not isinstance(device, str):
        raise WrongTypeError.of("device", "the name of a device, such as 'iphone12'", device)
    known = load_device(device)
    timed = known.path(TABLE_FILE)
    rows = [
        *(_timed(read_table(timed)) if timed.is_file() else ()),
        *map(_published, published_of(known)),
    ]
    return DeviceTable(known.name, known.file.title, tuple(rows), str(known.folder))


def _timed(timed: Table) -> Iterator[Known]:
    for row in timed.rows:
        if isinstance(row, NetworkRow):
            kind: Kind = "network"
            name = title_of(row.architecture)
        else:
            written = msgspec.to_builtins(row)
            kind, name = written["type"], unit_text(written["unit"])
        yield Known(
            kind,
            name,
            row.latency_ms,
            row.sd_ms,
            row.low_ms,
            row.high_ms,
            row.rounds,
            row.series,
        )


def _published(row: PublishedLatency) -> Known:
    half = row.rounding_ms / 2
    name = f"{row.network} at {row.resolution} px, {row.output}"
    return Known(
        "published",
        name,
        row.latency_ms,
        UNIFORM_SD * row.rounding_ms,
        row.latency_ms - half,
        row.latency_ms + half,
        1,
        row.source,
    )
