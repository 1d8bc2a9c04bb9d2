"""What one image takes on this machine, by torch on one thread."""

import statistics
import time
from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

_ROUNDS: Final = 15
_FEWEST_ROUNDS: Final = 3
_LONGEST_S: Final = 20.0


def latencies_here(
    models: Sequence[nn.Module], resolution: int, rounds: int = _ROUNDS
) -> list[float]:
    """Time networks on one image and one thread, in turns; returns medians in milliseconds."""
    image = torch.zeros(1, 3, resolution, resolution)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: list[list[float]] = [[] for _ in models]
    began = time.perf_counter()
    try:
        with torch.inference_mode():
            for done in range(rounds):
                if done >= _FEWEST_ROUNDS and time.perf_counter() - began > _LONGEST_S:
                    break  # an encoder of 1024 px takes seconds an image
                for model, own in zip(models, times, strict=True):
                    model(image)  # what ran before has filled the caches with other weights
                    started = time.perf_counter()
                    model(image)
                    own.append(1e3 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return [statistics.median(own) for own in times]
