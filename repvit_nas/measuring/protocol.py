"""How things are timed: the same for every runtime, and pure.

Clock, runner and random generator are passed in, so everything here runs against a simulated
device too. The scheme:

* A *visit* loads one program, calls it until its latency is steady, then times calls.
* A *round* visits every program once in shuffled order, and the sentinel, one network that never
  changes, from its start to its end. Slow changes of the machine hit all programs
  alike, and the sentinel shows them.
* Rounds are repeated until the intervals are narrow enough or the time is used up.

What the visits say is read by :mod:`repvit_nas.latency_lut.statistics`.
"""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np

# Calls are steady when a call is no longer faster than the fastest before it by this share.
_STEADY: Final = 0.03
_WARM_CALLS: Final = (2, 12)
_TIMED_CALLS: Final = (4, 60)
# Visits of the sentinel in a round, the first and the last among them.
SENTINELS: Final = 5

Calls = Callable[[int], Sequence[float]]
Clock = Callable[[], float]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep Python's garbage collector from running; it is run before, not between visits.

    With the exporters loaded, one collection takes a quarter of a second.
    """
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def visit(
    calls: Calls, target_ms: float, *, beside_ms: float = 0.0
) -> tuple[list[float], list[float]]:
    """Warm a loaded program up and time it.

    Args:
        calls: Runs the program so many times and returns the milliseconds of each.
        target_ms: About how long to time; at least four calls are timed whatever they take.
        beside_ms: What each call takes beside what it says.

    Returns:
        Milliseconds of the calls before they were steady, and of the timed ones.

    Raises:
        ValueError: The runner returned something that is no time.
    """
    warm = warm_up(calls, target_ms)
    least, most = _TIMED_CALLS
    count = min(most, max(least, math.ceil(target_ms / max(min(warm) + beside_ms, 1e-6))))
    samples = [float(value) for value in calls(count)]
    for value in (*warm, *samples):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"a latency must be a number of milliseconds above 0; got {value}")
    return warm, samples


def warm_up(calls: Calls, target_ms: float) -> list[float]:
    """Call a program until its calls are steady; return their milliseconds.

    They are steady when the latest call is not faster than the fastest before it. It ends in
    any case after twelve calls, or when the calls after the first, which may compile, have used
    half of `target_ms`.
    """
    least, most = _WARM_CALLS
    samples: list[float] = []
    while len(samples) < most:
        samples += [float(value) for value in calls(1)]
        if len(samples) < least:
            continue
        steady = samples[-1] > (1 - _STEADY) * min(samples[:-1])
        if steady or sum(samples[1:]) > target_ms / 2:
            break
    return samples


def order_of_round(
    keys: Sequence[str], sentinel: str, number: int, seed: int, *, sentinels: int = SENTINELS
) -> list[str]:
    """Return the programs of a round in the order of their visits, the sentinel spread over it.

    The order depends on the round's number and the seed alone, so a resumed round goes on as it
    would have.
    """
    rng = np.random.default_rng((seed, number))
    shuffled = [keys[index] for index in rng.permutation(len(keys))]
    places = np.linspace(0, len(shuffled), sentinels).round().astype(int)
    for shift, place in enumerate(places):
        shuffled.insert(int(place) + shift, sentinel)
    return shuffled
