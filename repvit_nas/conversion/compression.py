"""Weights of fewer bits in a Core ML program, by what iOS 16 takes.

8 bits are linear, with a scale for each output channel: a fused network's channels differ by orders of
magnitude, and a palette has one table for all of them before iOS 18. 6 and 4 bits are palettes, as iOS 16
has no linear weights of so few. Small tensors stay in half precision.
"""

import gc
import heapq
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from repvit_nas.conversion.converter import coremltools, one_at_a_time
from repvit_nas.operations import KEPT_IN_HALF

LINEAR_BITS: Final = 8
# Lloyd's algorithm on a line converges in tens of rounds; more change the last digit.
_ROUNDS: Final = 200


def compressed(model: Any, bits: int) -> Any:
    """Return a converted model with its large weights stored in `bits` each.

    Args:
        model: From :func:`repvit_nas.conversion.converter.converted`; it stays as it is.
        bits: 8, 6 or 4.
    """
    coremltools()
    import coremltools.optimize.coreml as optimize

    # coremltools compresses what is larger than its threshold.
    if bits == LINEAR_BITS:
        compress, config = (
            optimize.linear_quantize_weights,
            optimize.OpLinearQuantizerConfig(
                mode="linear_symmetric", weight_threshold=KEPT_IN_HALF
            ),
        )
    else:
        compress, config = (
            optimize.palettize_weights,
            optimize.OpPalettizerConfig(
                mode="custom",
                lut_function=lambda values: palette(values, bits),
                weight_threshold=KEPT_IN_HALF,
            ),
        )
    with one_at_a_time():
        made = compress(model, optimize.OptimizationConfig(global_config=config))
        gc.collect()  # it leaves temporary folders to the collector, which says so with a warning
    return made


def palette(
    values: npt.NDArray[Any], bits: int
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]:
    """Return the table of `2**bits` entries that values are nearest to, and each one's place in it.

    K-means on a line: coremltools' own takes scikit-learn's, whose sums, and so bytes, depend on the
    number of threads. It starts from intervals of which the one with the largest squared error is
    halved at its mean, until there are enough, and goes on as Lloyd's algorithm.

    Args:
        values: Weights of any shape, half precision.
        bits: Of a place.

    Returns:
        The table, rising, and the places, flat.
    """
    sorts, inverse, counts = np.unique(
        values.astype(np.float64).ravel(), return_inverse=True, return_counts=True
    )
    moments = np.zeros((3, len(sorts) + 1))  # of what is below each place: count, sum, squares
    np.cumsum([counts, counts * sorts, counts * sorts**2], axis=1, out=moments[:, 1:])
    edges = _intervals(sorts, moments, min(2**bits, len(sorts)))
    for _ in range(_ROUNDS):
        mass, total, _ = np.diff(moments[:, edges])
        table = total / mass
        bounds = np.searchsorted(sorts, (table[1:] + table[:-1]) / 2)
        moved = np.concatenate([[0], bounds, [len(sorts)]])
        if np.array_equal(moved, edges):
            break
        edges = moved
    full = np.full(2**bits, table[-1], dtype=np.float16)
    full[: len(table)] = table.astype(np.float16)
    # The nearest of the rounded entries; of two alike the first.
    halves = full.astype(np.float64)
    places = np.searchsorted((halves[1:] + halves[:-1]) / 2, sorts).astype(np.uint8)
    return full, places[inverse.ravel()]


def _intervals(
    values: npt.NDArray[np.float64], moments: npt.NDArray[np.float64], entries: int
) -> npt.NDArray[np.intp]:
    """Return the edges of `entries` intervals of sorted distinct `values`, as places among them."""

    def interval(start: int, stop: int) -> tuple[float, int, int]:
        mass, total, squares = moments[:, stop] - moments[:, start]
        alone = stop - start < 2
        return (np.inf if alone else total**2 / mass - squares, start, stop)

    heap = [interval(0, len(values))]
    while len(heap) < entries:
        _, start, stop = heapq.heappop(heap)  # of the largest squared error: that is its negative
        mass, total, _ = moments[:, stop] - moments[:, start]
        middle = int(np.searchsorted(values, total / mass))
        middle = min(max(middle, start + 1), stop - 1)
        heapq.heappush(heap, interval(start, middle))
        heapq.heappush(heap, interval(middle, stop))
    return np.array([0, *sorted(stop for _, _, stop in heap)])
