"""A network row by row."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from repvit_nas.accuracy.estimator import AccuracyEstimator, AccuracySource, estimate, meaning_at
from repvit_nas.architecture import Architecture
from repvit_nas.networks import summary
from repvit_nas.predictors.lookup import Source
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.report.tables import Grid
from repvit_nas.search_space.path import PATH_MEANING, published_step
from repvit_nas.shapes import shapes_of
from repvit_nas.units import Network, rows


class UnitLine(msgspec.Struct, frozen=True):
    """One unit of a network.

    Attributes:
        unit: The unit's fields and its kind.
        macs: Multiply-accumulates.
        params: Parameters of the fused unit.
        size_bytes: Bytes of its weights in fp16.
        bytes_moved: Bytes of weights and activations read and written, in fp16.
        peak_bytes: Bytes of activations alive at the worst moment, in fp16.
        latency_ms: What it adds to the network's latency.
        source: Where that comes from.
    """

    unit: dict[str, Any]
    macs: int
    params: int
    size_bytes: int
    bytes_moved: int
    peak_bytes: int
    latency_ms: float
    source: Source


class NetworkLines(msgspec.Struct, frozen=True):
    """A network, its rows and its totals; latencies are in ms on `device`, as `predictor` says.

    Accuracies are estimated for RepViT's architectures; of a network told by its units there is at most
    what was published, `observed`.
    """

    architecture: Network
    shape: str
    rows: tuple[UnitLine, ...]
    macs: int
    params: int
    size_bytes: int
    peak_bytes: int
    overhead_ms: float
    latency_ms: float
    low_ms: float
    high_ms: float
    interval: float
    device: str
    source: Source
    accuracy: float | None
    accuracy_std: float | None
    accuracy_meaning: str
    accuracy_source: AccuracySource
    observed: float | None
    predictor: str


def describe(
    architecture: Network, predictor: Predictor, estimator: AccuracyEstimator, found: str
) -> NetworkLines:
    """Describe a network on the device of `predictor`, the copy of it that was `found`."""
    units = rows(architecture)
    costs = predictor.unit_costs(units).mean(axis=1)
    described = tuple(
        UnitLine(
            unit=msgspec.to_builtins(unit),
            macs=unit.macs,
            params=unit.params,
            size_bytes=unit.size_bytes,
            bytes_moved=unit.bytes_moved,
            peak_bytes=unit.peak_bytes,
            latency_ms=round(float(cost), 5),
            source=predictor.source([unit]),
        )
        for unit, cost in zip(units, costs, strict=True)
    )
    return NetworkLines(
        architecture=architecture,
        shape=summary(architecture),
        rows=described,
        macs=sum(row.macs for row in described),
        params=sum(row.params for row in described),
        size_bytes=sum(row.size_bytes for row in described),
        peak_bytes=max(row.peak_bytes for row in described),
        overhead_ms=round(float(predictor.overheads_ms.mean()), 5),
        **predictor.estimate(architecture)._asdict(),
        **_accuracy(architecture, estimator),
        predictor=found,
    )


def _accuracy(network: Network, estimator: AccuracyEstimator) -> dict[str, Any]:
    """Return what is known of a network's accuracy, under the names of a description."""
    if not isinstance(network, Architecture):
        step = published_step(network)
        return {
            "accuracy": None,
            "accuracy_std": None,
            "accuracy_meaning": PATH_MEANING,
            "accuracy_source": "published",
            "observed": None if step is None else step.top1,
        }
    accuracy = estimate(estimator, shapes_of([network]))
    seen = estimator.observed(network)
    return {
        "accuracy": round(float(accuracy.mean[0]), 3),
        "accuracy_std": round(float(accuracy.std[0]), 3),
        "accuracy_meaning": meaning_at(estimator, network.resolution, network.output),
        "accuracy_source": "estimated" if seen is None else seen.source,
        "observed": None if seen is None else round(seen.top1, 3),
    }


def network_table(description: NetworkLines) -> Grid:
    """Return the table of a network's rows; equal rows in a run share a line."""
    cells = [
        (
            unit_text(row.unit),
            str(times),
            f"{times * row.macs / 1e6:,.1f}",
            f"{times * row.params / 1e3:,.1f}",
            f"{times * row.latency_ms * 1e3:,.1f}",
            row.source,
            f"{row.peak_bytes / 1e3:,.0f}",
        )
        for times, row in _runs(description.rows)
    ]
    whole = (
        "all rows",
        str(len(description.rows)),
        f"{description.macs / 1e6:,.1f}",
        f"{description.params / 1e3:,.1f}",
        f"{sum(row.latency_ms for row in description.rows) * 1e3:,.1f}",
        description.source,
        f"{description.peak_bytes / 1e3:,.0f}",
    )
    title = f"{description.architecture.name or 'network'}: {description.shape}"
    header = ("unit", "times", "M MACs", "k params", "µs", "source", "peak kB")
    drop = {"peak kB": 2, "k params": 1}
    return Grid.of(title, header, [*cells, whole], left=("source",), drop=drop)


def unit_text(unit: dict[str, Any]) -> str:
    """Write a unit in one line: its kind and its fields."""
    fields = (f"{name} {value}" for name, value in unit.items() if name != "type")
    return " ".join([unit["type"], *fields])


def _runs(listed: tuple[UnitLine, ...]) -> Iterator[tuple[int, UnitLine]]:
    return ((len([*same]), row) for row, same in groupby(listed))
