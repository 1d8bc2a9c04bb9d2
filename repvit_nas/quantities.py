"""Quantities as files may hold them: each with bounds that no real one leaves.

A record that is read takes its numbers from here, so that nothing negative, infinite or of another
world stands where a physical quantity does. Bounds are of sanity: far outside anything measured.
"""

from typing import Annotated, Final, TypeAlias

import msgspec

# Eleven days, in milliseconds.
MOST_MS: Final = 1e9
_MOST: Final = 1e6
# The largest whole number that a JSON reader of any language keeps.
_MOST_COUNT: Final = 2**53

# A time that something took, in milliseconds.
Milliseconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=MOST_MS)]
# A time that may be nothing, in whatever unit: an overhead, minutes or seconds spent.
Duration: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=MOST_MS)]
# An end of an interval of a time; below 0 where a small cost is hardly known.
SignedMilliseconds: TypeAlias = Annotated[float, msgspec.Meta(ge=-MOST_MS, le=MOST_MS)]

# A standard deviation, or an error without its sign, in whatever unit.
Deviation: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=_MOST)]
# What something is multiplied or divided by, and rates a second in thousands of millions.
Factor: TypeAlias = Annotated[float, msgspec.Meta(ge=1 / _MOST, le=_MOST)]
# An error with its sign, in whatever unit.
Signed: TypeAlias = Annotated[float, msgspec.Meta(ge=-_MOST, le=_MOST)]
# A part of a whole.
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
# A relative standard deviation that leaves a quantity above 0.
RelativeDeviation: TypeAlias = Annotated[float, msgspec.Meta(ge=0, lt=1)]
# A part of a whole in percent.
Percent: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=100)]
# What a training makes small; one that goes astray makes it any number.
Loss: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e300)]
# A rank correlation.
Correlation: TypeAlias = Annotated[float, msgspec.Meta(ge=-1, le=1)]

# Any number that is one.
Number: TypeAlias = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]

# How many: things, bytes, multiply-accumulates.
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_MOST_COUNT)]
# The same, at least one.
Several: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=_MOST_COUNT)]
# Channels, the side of a map, positions of a kernel.
Extent: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
# The same where there may be none, such as the bottleneck of an SE that is not there.
ExtentOrNone: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]
# Of a convolution.
Stride: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2)]
# The side of an input image in pixels.
Side: TypeAlias = Annotated[int, msgspec.Meta(ge=32, le=4096)]
# What a random choice starts from.
Seed: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


def check_interval(low: float, value: float, high: float, name: str) -> None:
    """Raise unless an interval holds the value that it is of.

    Args:
        low: Its lower end.
        value: What it is of.
        high: Its upper end.
        name: What that is called in its record.

    Raises:
        ValueError: It does not.
    """
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in its interval; got {value:g} in {low:g} to {high:g}")
