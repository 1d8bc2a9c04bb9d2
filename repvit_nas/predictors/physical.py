"""What an operation costs on an accelerator, as a form with few numbers.

One operation needs three things at once: multiply-accumulates, its weights streamed from memory,
and its activations moved through on-chip memory, or through main memory where a map is too large
for the chip. How far the three overlap is not known, nor where the limits lie; a *form* is one
assumption about that, and a model keeps many forms (see `docs/latency-model.md`).

    cost(unit) = sum over operations of coefficient * time(operation under the form)
                 + per-operation, per-pooling and per-returned-byte terms

A device of which only its table is known has a coefficient for each kind of convolution; one whose
rates are known (`engine.py`) has one for all.

All coefficients are non-negative. The arrays here are `(operations,)` or `(units,)`.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from repvit_nas.operations import (
    BYTES_PER_ELEMENT,
    HALF,
    Conv,
    Norm,
    Output,
    Pointwise,
    Pool,
    Resize,
    stored_bytes,
)
from repvit_nas.quantities import Duration, Extent, Factor
from repvit_nas.shapes import Floats
from repvit_nas.units import Unit

CostColumn = Literal[
    "pointwise",
    "depthwise",
    "dense",
    "operation",
    "squeeze",
    "output",
    "elementwise",
    "convolution",
]
# What a form's coefficients multiply, per unit. A device's assumptions say which of them it has:
# an accelerator fuses elementwise operations into the convolution before them, a processor pays;
# `convolution` is all three kinds of it together.
FUSING_COLUMNS: Final[tuple[CostColumn, ...]] = (
    "pointwise",
    "depthwise",
    "dense",
    "operation",
    "squeeze",
    "output",
)
COLUMNS: Final[tuple[CostColumn, ...]] = (*FUSING_COLUMNS, "elementwise")
# Those that count things; these bring their coefficients near 1.
MS_PER: Final[dict[CostColumn, float]] = {
    "operation": 0.001,
    "squeeze": 0.004,
    "output": 0.5,
    "elementwise": 0.3,
}
# What a depthwise convolution uses of the multiply-accumulate lanes: one of 16.
ONE_LANE: Final = 1 / 16
# What forms miss of networks larger than this is judged apart.
LARGE_RESOLUTION: Final = 320

Overlap = Literal["none", "all", "memory", "weights-apart", "activations-apart", "spill-apart"]
Spill = Literal["whole", "excess", "none"]


class CostForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One assumption about how compute and memory traffic make up the time of an operation.

    Attributes:
        overlap: Which of compute, weight streaming and activation traffic hide one another.
            `all` takes the largest of the three, `none` their sum, `memory` the larger of compute
            and all traffic, `weights-apart` adds weights to the larger of the other two,
            `activations-apart` adds on-chip traffic to the larger of compute and main memory,
            `spill-apart` adds what does not fit the chip to the largest of the three.
        tmacs: Multiply-accumulates a second, in millions of millions.
        memory_gbps: Main memory, gigabytes a second.
        chip_gbps: On-chip memory, gigabytes a second.
        chip_mb: A map larger than this goes through main memory.
        spill: Whether then the whole map goes there, what exceeds the limit, or nothing.
        row: Rows of a map are padded to a multiple of this many elements.
        depthwise: What a depthwise convolution reaches of `tmacs`.
        ports: Whether maps are read and written through one port of `chip_gbps`, one after the
            other, or through one each at once.
        limit: Whether `chip_mb` is for each map alone or for an operation's input plus output.
        spill_gbps: What does not fit the chip, gigabytes a second; None for that of main memory.
    """

    overlap: Overlap
    tmacs: Factor
    memory_gbps: Factor
    chip_gbps: Factor
    chip_mb: Duration
    spill: Spill
    row: Extent
    depthwise: Factor = ONE_LANE
    ports: Literal[1, 2] = 1
    limit: Literal["map", "operation"] = "map"
    spill_gbps: Factor | None = None


class Member(NamedTuple):
    """One model of the ensemble: a form, the overhead and the coefficients of its features."""

    form: CostForm
    overhead_ms: float
    coefficients: Floats


class OperationTable(NamedTuple):
    """The operations of many units as arrays; `unit` says whose each is."""

    units: int
    unit: npt.NDArray[np.intp]
    gmacs: Floats
    weight_mb: Floats
    channels_in: Floats
    size_in: Floats
    channels_out: Floats
    size_out: Floats
    kind: npt.NDArray[np.intp]
    spatial: npt.NDArray[np.bool_]


_POINTWISE, _DEPTHWISE, _DENSE, _SQUEEZE, _OUTPUT, _ELEMENTWISE = range(6)
_MB: Final = 1e6


def tabulate(units: Sequence[Unit], bits: int = HALF) -> OperationTable:
    """List the operations that may cost time, one line each.

    Args:
        units: The units.
        bits: How many a weight has in the package, whose bytes are what is streamed.
    """
    lines = []
    for index, unit in enumerate(units):
        for operation in unit.operations:
            match operation:
                case Conv(c_in, c_out, taps, groups, size_in, size_out):
                    kind = _DEPTHWISE if groups > 1 else (_POINTWISE if taps == 1 else _DENSE)
                    weight_mb = stored_bytes(operation.weights, bits) / _MB
                    gmacs = operation.macs / 1e9
                    spatial = size_in > 1
                    lines.append(
                        (index, gmacs, weight_mb, c_in, size_in, c_out, size_out, kind, spatial)
                    )
                case Pool(channels, size):
                    lines.append((index, 0, 0, channels, size, channels, 1, _SQUEEZE, False))
                case Output(channels, size):
                    lines.append((index, 0, 0, channels, size, channels, size, _OUTPUT, False))
                case Pointwise(_, channels, size):
                    lines.append((index, 0, 0, channels, size, channels, size, _ELEMENTWISE, False))
                case Norm(channels, size):
                    # Mean and variance are a reduction each, and a pass over the map behind each.
                    lines += 2 * [(index, 0, 0, channels, size, channels, 1, _SQUEEZE, False)]
                    lines += 2 * [(index, 0, 0, channels, size, channels, size, _POINTWISE, True)]
                case Resize(channels, size_in, size_out):
                    lines.append(
                        (index, 0, 0, channels, size_in, channels, size_out, _POINTWISE, True)
                    )
    table = np.array(lines, dtype=np.float64).reshape(-1, 9)
    return OperationTable(
        units=len(units),
        unit=table[:, 0].astype(np.intp),
        gmacs=table[:, 1],
        weight_mb=table[:, 2],
        channels_in=table[:, 3],
        size_in=table[:, 4],
        channels_out=table[:, 5],
        size_out=table[:, 6],
        kind=table[:, 7].astype(np.intp),
        spatial=table[:, 8].astype(bool),
    )


def features(
    form: CostForm, table: OperationTable, columns: Sequence[CostColumn] = FUSING_COLUMNS
) -> Floats:
    """Return what the coefficients multiply, `(units, len(columns))`, in milliseconds."""
    time_ms = _operation_ms(form, table)
    out_mb = _map_mb(table.channels_out, table.size_out, 1)
    convolution = (table.kind == _POINTWISE) | (table.kind == _DEPTHWISE) | (table.kind == _DENSE)
    per_operation: dict[CostColumn, Floats] = {
        "pointwise": np.where(table.kind == _POINTWISE, time_ms, 0.0),
        "depthwise": np.where(table.kind == _DEPTHWISE, time_ms, 0.0),
        "dense": np.where(table.kind == _DENSE, time_ms, 0.0),
        "operation": np.where(table.spatial, MS_PER["operation"], 0.0),
        "squeeze": np.where(table.kind == _SQUEEZE, MS_PER["squeeze"], 0.0),
        "output": np.where(table.kind == _OUTPUT, MS_PER["output"] * out_mb, 0.0),
        "elementwise": np.where(table.kind == _ELEMENTWISE, MS_PER["elementwise"] * out_mb, 0.0),
        "convolution": np.where(convolution, time_ms, 0.0),
    }
    sums = [
        np.bincount(table.unit, weights=per_operation[column], minlength=table.units)
        for column in columns
    ]
    return np.stack(sums, axis=1)


def _map_mb(channels: Floats, size: Floats, row: int) -> Floats:
    return channels * size * np.ceil(size / row) * row * BYTES_PER_ELEMENT / _MB


def _operation_ms(form: CostForm, table: OperationTable) -> Floats:
    """Return the time of each operation under `form`; 1 MB at 1 GB/s takes 1 ms."""
    lanes = np.where(table.kind == _DEPTHWISE, 1 / form.depthwise, 1.0)
    compute = np.where(table.spatial, lanes * table.gmacs / form.tmacs, 0.0)
    weights = table.weight_mb / form.memory_gbps
    maps = [
        np.where(table.spatial, _map_mb(channels, size, form.row), 0.0)
        for channels, size in (
            (table.channels_in, table.size_in),
            (table.channels_out, table.size_out),
        )
    ]
    moved = sum(maps) if form.ports == 1 else np.maximum(*maps)
    chip = moved / form.chip_gbps
    spilled = _spilled_mb(form, maps) / (form.spill_gbps or form.memory_gbps)
    match form.overlap:
        case "all":
            return np.maximum(np.maximum(compute, weights), chip + spilled)
        case "none":
            return compute + weights + chip + spilled
        case "memory":
            return np.maximum(compute, weights + chip + spilled)
        case "weights-apart":
            return np.maximum(compute, chip + spilled) + weights
        case "activations-apart":
            return np.maximum(compute, weights + spilled) + chip
        case "spill-apart":
            return np.maximum(np.maximum(compute, weights), chip) + spilled


def _spilled_mb(form: CostForm, maps: Sequence[Floats]) -> Floats:
    """Return what of each operation's input and output does not fit the chip."""
    if form.spill == "none":
        return np.zeros_like(maps[0])
    kept = 0.0 if form.spill == "whole" else form.chip_mb
    held = maps if form.limit == "map" else [np.asarray(sum(maps))]
    return np.asarray(sum(np.where(mb > form.chip_mb, mb - kept, 0.0) for mb in held))


def member_costs(
    members: Sequence[Member],
    units: Sequence[Unit],
    columns: Sequence[CostColumn] = FUSING_COLUMNS,
    bits: int = HALF,
) -> Floats:
    """Return what each member says of each unit, `(units, members)` in milliseconds.

    Args:
        members: The ensemble.
        units: The units.
        columns: What its coefficients multiply.
        bits: How many a stored weight has.
    """
    table = tabulate(units, bits)
    known: dict[CostForm, Floats] = {}
    for member in members:
        if member.form not in known:
            known[member.form] = features(member.form, table, columns)
    return np.stack([known[member.form] @ member.coefficients for member in members], axis=1)


class FormGrid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The forms that a device's model weighs against one another: every combination."""

    overlap: tuple[Overlap, ...]
    tmacs: tuple[Factor, ...]
    memory_gbps: tuple[Factor, ...]
    chip_gbps: tuple[Factor, ...]
    chip_mb: tuple[Duration, ...]
    spill: tuple[Spill, ...]
    row: tuple[Extent, ...]

    def forms(self) -> list[CostForm]:
        """List the combinations."""
        return [
            CostForm(overlap, tmacs, memory, chip, limit, spill, row)
            for overlap in self.overlap
            for tmacs in self.tmacs
            for memory in self.memory_gbps
            for chip in self.chip_gbps
            for limit in self.chip_mb
            for spill in self.spill
            for row in self.row
        ]
