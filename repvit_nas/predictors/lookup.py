"""What a measured device adds to a physical model: the units that were timed, and the residual.

In a predictor file this is :class:`MeasuredPart`; the arrays of the residual are in an NPZ beside it.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import msgspec
import numpy as np

from repvit_nas import files
from repvit_nas.errors import FileError, UnknownUnitError
from repvit_nas.predictors.features import RANGED, SLACK, columns, unit_features
from repvit_nas.predictors.residual import Kernel, Residual
from repvit_nas.quantities import Duration, Factor, Milliseconds, Signed
from repvit_nas.shapes import Floats
from repvit_nas.units import Block, Downsample, Ffn, Head, Stem, Unit

ARRAYS_FILE: Final = "residual.npz"
_ARRAYS: Final = ("inputs", "update", "frequencies", "phases", "amplitudes", "looked_up")
# Two thousand units take 2 MiB. A small file may unpack to gigabytes, so sizes are looked at first.
_MOST_BYTES: Final = 64 * 2**20
# No member is believed that a unit costs less than this share of what all say, or than this.
_LEAST_OF_MEAN: Final = 0.05
_LEAST_MS: Final = 1e-5

# Where a latency comes from, from the best to the weakest.
Source = Literal["measured", "interpolated", "modelled"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)
# What to do with a unit outside the measured range.
Outside = Literal["flag", "clip", "raise"]

Timeable = Stem | Block | Downsample | Ffn | Head


class TimedUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A unit of the table, and what it cost in milliseconds with its standard deviation."""

    unit: Unit
    latency_ms: Milliseconds
    sd_ms: Duration


class MeasuredPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a predictor file says of its measured units.

    Attributes:
        kernel: The kernel of the residual.
        scale: What the sum of a network's units is multiplied by: calibration networks took so
            much more or less than their units.
        ranges: By kind of unit, the lowest and highest value of each feature that was measured.
        arrays_digest: Digest of the arrays' file.
        units: The units that were timed.
        operation_ms: What each operation takes longer among a network's others than in a chain of its
            like, in milliseconds.
    """

    kernel: Kernel
    scale: Factor
    ranges: dict[str, dict[str, tuple[Signed, Signed]]]
    arrays_digest: str
    units: tuple[TimedUnit, ...]
    operation_ms: Duration = 0.0

    def __post_init__(self) -> None:
        """Check that ranges rise, and that none is missing."""
        for kind, features in self.ranges.items():
            if features.keys() != set(RANGED):
                raise ValueError(f"ranges of {kind} must be of {', '.join(RANGED)}; got others")
            for name, (low, high) in features.items():
                if low > high:
                    raise ValueError(f"{name} of {kind} must rise; got {low:g} to {high:g}")


class TimedCosts(NamedTuple):
    """A measured part with its arrays.

    Attributes:
        part: The part.
        residual: The residual's draws.
        looked_up: What each member takes the timed units to cost, `(units, members)`.
    """

    part: MeasuredPart
    residual: Residual
    looked_up: Floats

    def calibrated(self, scale: float, operation_ms: float) -> "TimedCosts":
        """Return the same for networks that take so much more or less than their units."""
        part = msgspec.structs.replace(self.part, scale=scale, operation_ms=operation_ms)
        return self._replace(part=part)

    def refine(self, units: Sequence[Unit], physical: Floats, outside: Outside = "flag") -> Floats:
        """Return what each member says of each unit, `(n, members)` in milliseconds.

        Timed units are looked up. The others are what the physical model says, `physical`,
        corrected by the residual. Both are then what they take in a network.

        Raises:
            UnknownUnitError: A unit is outside the measured range and `outside` is `raise`.
        """
        physical = floored(physical)
        known = {timed.unit: row for row, timed in enumerate(self.part.units)}
        rows = np.array([known.get(unit, -1) for unit in units], dtype=np.intp)
        costs = physical.copy()
        new = np.flatnonzero(rows < 0)
        can = [int(row) for row in new if isinstance(units[int(row)], Timeable)]
        if can:
            named = [units[row] for row in can]
            features = unit_features(named)
            if outside != "flag":
                features = self._within(named, features, clip=outside == "clip")
            costs[can] *= np.exp(self.residual.evaluate(features))
        costs[rows >= 0] = self.looked_up[rows[rows >= 0]]
        operations = np.array([len(unit.operations) for unit in units])
        return np.asarray(costs * self.part.scale + self.part.operation_ms * operations[:, None])

    def source(self, unit: Unit) -> Source:
        """Say where the cost of a unit comes from."""
        if any(timed.unit == unit for timed in self.part.units):
            return "measured"
        if not isinstance(unit, Timeable):
            return "modelled"
        return "modelled" if self._first_outside(unit) else "interpolated"

    def _first_outside(self, unit: Unit) -> str:
        kind = type(unit).__name__.lower()
        if not self.part.ranges:
            return "too few units were timed to say anything of others"
        if kind not in self.part.ranges:
            return f"no {kind} was measured"
        values = unit_features([unit])[0, columns(RANGED)]
        for name, value in zip(RANGED, values, strict=True):
            low, high = self.part.ranges[kind][name]
            if not low - SLACK <= value <= high + SLACK:
                return f"{name} {2**value:g} was measured from {2**low:g} to {2**high:g} only"
        return ""

    def _within(self, units: Sequence[Unit], features: Floats, *, clip: bool) -> Floats:
        features = features.copy()
        for row, unit in enumerate(units):
            why = self._first_outside(unit)
            if not why:
                continue
            if not clip:
                raise UnknownUnitError(
                    f"{unit} is outside what was measured: {why}; measure more with measure-lut, "
                    "or allow it with --outside flag or --outside clip"
                )
            for name in RANGED:
                column = columns([name])[0]
                bounds = self.part.ranges.get(type(unit).__name__.lower(), {}).get(name)
                if bounds:
                    features[row, column] = np.clip(features[row, column], *bounds)
        return features


def floored(physical: Floats) -> Floats:
    """Return what members say of units, `(n, members)`, nowhere next to nothing.

    A member whose coefficients for a kind of unit are all 0 says that the unit is free.
    """
    mean = physical.mean(axis=1, keepdims=True)
    return np.asarray(np.maximum(physical, np.maximum(_LEAST_OF_MEAN * mean, _LEAST_MS)))


def ranges_of(units: Sequence[Unit]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return, by kind of unit, the range of each feature."""
    features = unit_features(units)[:, columns(RANGED)]
    kinds = np.array([type(unit).__name__.lower() for unit in units])
    return {
        str(kind): {
            name: (
                float(features[kinds == kind, index].min()),
                float(features[kinds == kind, index].max()),
            )
            for index, name in enumerate(RANGED)
        }
        for kind in np.unique(kinds)
    }


def arrays_bytes(residual: Residual, looked_up: Floats) -> bytes:
    """Return the arrays of a residual as an NPZ file, in single precision."""
    buffer = io.BytesIO()
    arrays = {name: getattr(residual, name) for name in _ARRAYS[:-1]} | {"looked_up": looked_up}
    np.savez_compressed(buffer, **{k: v.astype(np.float32) for k, v in arrays.items()})
    return buffer.getvalue()


def read_arrays(path: Path | str, content: bytes, part: MeasuredPart, members: int) -> TimedCosts:
    """Read the arrays that belong to a measured part from the content of their file.

    Raises:
        FileError: They are missing, damaged, or belong to another fit.
    """
    if files.digest(content) != part.arrays_digest:
        raise FileError(f"{path}: belongs to another fit than the predictor beside it; fit again")
    found = files.unpacked(path, content, _MOST_BYTES, remedy="fit again")
    try:
        arrays = {name: np.asarray(found[name], dtype=np.float64) for name in _ARRAYS}
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: holds no arrays of a residual: {error}; fit again") from error
    n, d, f = len(part.units), len(part.kernel.features), len(arrays["phases"])
    wanted = {
        "inputs": (n, d),
        "update": (n, members),
        "frequencies": (f, d),
        "phases": (f,),
        "amplitudes": (f, members),
        "looked_up": (n, members),
    }
    for name, shape in wanted.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise FileError(f"{path}: {name} must be finite and {shape}; got {arrays[name].shape}")
    looked_up = arrays.pop("looked_up")
    if not (looked_up > 0).all():
        raise FileError(f"{path}: looked_up must be above 0; got {looked_up.min():g}; fit again")
    return TimedCosts(part, Residual(kernel=part.kernel, **arrays), looked_up)
