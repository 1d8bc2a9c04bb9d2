"""Whether latencies that came from elsewhere can be a device's at all, or are in another unit."""

import math
import statistics
from collections.abc import Sequence
from typing import Final

from repvit_nas.errors import FileError

# Latencies as a whole, and each of them beside the others, within these factors are believed.
FURTHEST: Final = 4.0
FURTHEST_ALONE: Final = 10.0
# What else can be done about latencies that are right.
INSIST: Final = "import them as they are with --unlike-predicted"
# Units are powers of a thousand; this far from one, a ratio hints at none.
_NEAR_A_UNIT: Final = 4.0
# Latencies that are named in a message.
_SHOWN: Final = 3


def check_like_predicted(
    what: str,
    device: str,
    found: Sequence[tuple[str, float]],
    *,
    furthest: float = FURTHEST,
    otherwise: str = INSIST,
) -> None:
    """Raise if latencies are far from predicted ones: most likely they are in another unit.

    Args:
        what: Whose latencies they are, for the message.
        device: Whose predictor it is.
        found: Each latency's name and the logarithm of its ratio to what is predicted.
        furthest: The factor within which their median has to be of what is predicted.
        otherwise: What to do where they are right.

    Raises:
        FileError: They are far from these.
    """
    if not found:
        return
    middle = statistics.median(ratio for _, ratio in found)
    rest = f"correct them, or {otherwise}"
    if abs(middle) > math.log(furthest):
        raise FileError(
            f"{what}: latencies must be within a factor of {furthest:g} of those "
            f"predicted for {device}; got {_times(middle)} (median of {len(found)})"
            f"{_other_unit(middle)}: {rest}"
        )
    strange = [
        (name, ratio - middle)
        for place, (name, ratio) in enumerate(found)
        if len(found) > 1 and abs(ratio - _middle_without(found, place)) > math.log(FURTHEST_ALONE)
    ]
    if strange:
        strange.sort(key=lambda item: -abs(item[1]))
        named = ", ".join(f"{name} {_times(ratio)}" for name, ratio in strange[:_SHOWN])
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        raise FileError(
            f"{what}: each latency must be within a factor of {FURTHEST_ALONE:g} of what "
            f"the others and the predictor of {device} make of it; got {named}{more}"
            f"{_other_unit(strange[0][1])}: {rest}"
        )


def _middle_without(found: Sequence[tuple[str, float]], place: int) -> float:
    return statistics.median(ratio for other, (_, ratio) in enumerate(found) if other != place)


def _times(ratio: float) -> str:
    """Say a ratio that is given as its logarithm."""
    times = math.exp(abs(ratio))
    said = f"{times:,.0f}" if times >= FURTHEST_ALONE else f"{times:.1f}"
    return f"{said} times as much" if ratio > 0 else f"1/{said} of it"


def _other_unit(ratio: float) -> str:
    """Name the unit that a ratio, given as its logarithm, hints at; empty if it hints at none."""
    if abs(abs(ratio) - math.log(1000)) > math.log(_NEAR_A_UNIT):
        return ""
    return f", as if they were in {'microseconds' if ratio > 0 else 'seconds'}"
