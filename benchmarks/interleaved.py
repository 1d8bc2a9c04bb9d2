"""Timing on a shared machine: contestants take turns, medians are compared."""

import os
import statistics
import time
from collections.abc import Callable

# One core; set before numpy is imported by a benchmark.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def medians(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run every contestant once a round, after one round of warm-up; return median seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}
