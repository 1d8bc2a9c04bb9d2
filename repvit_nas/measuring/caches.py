"""What a unit finds in a processor's caches when it is timed: what it would find in a network.

A chain of a few copies is called again and again, and so finds its weights, and what the runtime keeps of
its operations, in the caches where its last call left them. In a network the whole rest of it ran in
between. So a network's worth of memory is read before each call of a chain. Without it, a processor whose
caches are shared is told slower or faster than it is by how much its neighbours leave of them.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns
from typing import Final, NamedTuple

import numpy as np

from repvit_nas.measuring.protocol import Calls

# The weights of RepViT-M0.9 in single precision; four times as much changed units by less than 2 %
# on a processor with 32 MB of shared cache.
SWEPT_MB: Final = 20
# What the circumstances of a table say of it.
SWEPT: Final = f"{SWEPT_MB} MB read before each call of units"
_NS_PER_MS: Final = 1e6


class Sweep(NamedTuple):
    """Reads as much memory as a network does.

    Attributes:
        read: Reads it.
        milliseconds: How long that takes.
    """

    read: Callable[[], object]
    milliseconds: float

    def before(self, calls: Calls) -> Calls:
        """Return calls each of which finds in the caches what a network leaves there."""

        def swept(count: int) -> list[float]:
            samples: list[float] = []
            for _ in range(count):
                self.read()
                samples += calls(1)
            return samples

        return swept


def make_sweep() -> Sweep:
    """Return what reads memory of its own, and how long that takes here."""
    # Ones: memory that nobody has written to is one page of zeros, and fits into any cache.
    memory = np.ones(SWEPT_MB * 1_000_000 // np.dtype(float).itemsize)
    took = []
    for _ in range(5):
        start = perf_counter_ns()
        memory.sum()
        took.append((perf_counter_ns() - start) / _NS_PER_MS)
    return Sweep(memory.sum, median(took))
