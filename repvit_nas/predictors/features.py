"""What the learned residual knows of a unit: one function, shared by fit, design and prediction."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from repvit_nas.shapes import Floats
from repvit_nas.units import Block, Downsample, Ffn, Head, Stem, Unit

KINDS: Final = (Stem, Block, Downsample, Ffn, Head)
# Channels that a runtime works on at once.
_GROUPS: Final = (16, 32)
# Octaves, but for the kinds and SE, which are 0 or 1.
NAMES: Final = (
    "stem",
    "block",
    "downsample",
    "ffn",
    "head",
    "channels",
    "inner",
    "size",
    "kernel",
    "se",
    "channels_padding_16",
    "channels_padding_32",
    "inner_padding_16",
    "inner_padding_32",
)
# The features that say how large a unit is; measured ranges are ranges of these.
RANGED: Final = ("channels", "inner", "size", "kernel")
# One may lie this far outside what was measured and still count as inside, in octaves.
SLACK: Final = 0.25


def unit_features(units: Sequence[Unit]) -> Floats:
    """Return the features of units, `(n, len(NAMES))`.

    `channels` are those of the input (of the first convolution's output for a stem), `inner` those
    of the FFN's middle, of the output of a downsample or stem, or the classes of a head. Runtimes
    work on channels in groups of 16 or 32, and what the last group is filled up with costs as much:
    `padding` is by how much more there is then.

    Raises:
        TypeError: A unit is not one that can be timed.
    """
    lines = []
    for unit in units:
        match unit:
            case Stem(width, size):
                channels, inner, kernel, se = width // 2, width, 3, 0
            case Block(width, hidden, bottleneck, kernel, size):
                channels, inner, se = width, hidden, bottleneck
            case Downsample(c_in, c_out, kernel, size):
                channels, inner, se = c_in, c_out, 0
            case Ffn(width, hidden, size):
                channels, inner, kernel, se = width, hidden, 1, 0
            case Head(width, classes, size):
                channels, inner, kernel, se = width, classes, 1, 0
            case _:
                raise TypeError(f"{type(unit).__name__} cannot be timed on its own")
        lines.append(
            [
                *(float(isinstance(unit, kind)) for kind in KINDS),
                *np.log2([channels, inner, size, kernel]),
                float(se > 0),
                *(_padding(value, group) for value in (channels, inner) for group in _GROUPS),
            ]
        )
    return np.array(lines, dtype=np.float64).reshape(-1, len(NAMES))


def _padding(channels: int, group: int) -> float:
    """Return by how many octaves whole groups are more than the channels."""
    return math.log2(-(-channels // group) * group / channels)


def columns(names: Sequence[str]) -> list[int]:
    """Return the columns of features by name."""
    return [NAMES.index(name) for name in names]
