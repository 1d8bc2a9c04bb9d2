"""Prices of every unit of a space, so that a network's price is a sum of table rows."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.architecture import FEATURES, LOGITS, PLAIN, SAM_FUSED, OutputKind, usual_output
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.search_space.space import Choices, Space
from repvit_nas.shapes import Floats, Integers
from repvit_nas.units import Features, Stem, Unit, block, endings, is_strided, opening, stage_sizes

# Directions of the ensemble's spread that hold less than this share of it are dropped.
_NEGLIGIBLE: Final = 1e-5
# Columns that every table has; each device's mean latency follows, then all devices' spreads.
MACS, PARAMS, LATENCY = 0, 1, 2

# The table's last row, which costs nothing.
_FREE: Final = -1

Rows = npt.NDArray[np.intp]
RowOf = Callable[[Unit], int]


class Prices(NamedTuple):
    """Prices of `n` networks.

    Attributes:
        macs: Multiply-accumulates, `(n,)`.
        params: Parameters of the fused network, `(n,)`.
        latency_ms: Mean latency on each device, `(n, devices)`.
        variance: The ensemble's variance of it, `(n, devices)`; None if it was not asked for.
    """

    macs: Floats
    params: Floats
    latency_ms: Floats
    variance: Floats | None


class PriceTable:
    """Additive prices of the networks of a space at one resolution.

    Args:
        space: The space.
        predictors: What they cost on each device.
        resolution: Side of their input in pixels.
        num_classes: Outputs of their classifiers.
        output: What they hand back.
    """

    def __init__(
        self,
        space: Space,
        predictors: Sequence[Predictor],
        resolution: int,
        num_classes: int,
        output: OutputKind = LOGITS,
    ) -> None:
        self._space = space
        output = usual_output(output, num_classes)
        units: dict[Unit, int] = {}

        def row_of(unit: Unit) -> int:
            return units.setdefault(unit, len(units))

        sizes = stage_sizes(resolution, output)
        blocks = [_block_rows(space, stage, sizes[stage], row_of) for stage in range(4)]
        openings = [
            _opening_rows(space, stage, sizes[stage - 1], row_of, strided=is_strided(stage, output))
            for stage in (1, 2, 3)
        ]
        stems = _rows(row_of, [Stem(width, resolution) for width in _integers(space, "width", 0)])
        behind, pairs = _end_rows(space, sizes, output, num_classes, row_of)
        prices, self._overhead, self._spreads = _price(list(units), predictors)
        # (width, expansion, kernel) flattened, without SE then with; behind them the columns.
        self._blocks = [prices[rows].reshape(2, -1, prices.shape[1]) for rows in blocks]
        # What opens it, then the same behind the width before.
        self._openings = [
            prices[rows].sum(axis=-2).reshape(len(rows), -1, prices.shape[1]) for rows in openings
        ]
        self._widths = [prices[rows] for rows in behind]
        self._pairs = None if pairs is None else prices[pairs]
        self._widths[0] = self._widths[0] + prices[stems]

    def price(
        self, choices: Choices, depth: Integers, se_blocks: Integers, *, variance: bool = True
    ) -> Prices:
        """Price networks.

        Args:
            choices: Rows of choices, `(n, parameters)`.
            depth: Blocks per stage, `(n, 4)`.
            se_blocks: Blocks with SE per stage, `(n, 4)`.
            variance: Whether to say how sure the latencies are, which takes longer.
        """
        means = LATENCY + len(self._spreads)
        sums = self._sum(choices, depth, se_blocks, len(self._overhead) if variance else means)
        spreads = [sums[:, spread] for spread in self._spreads] if variance else []
        return Prices(
            macs=sums[:, MACS],
            params=sums[:, PARAMS],
            latency_ms=sums[:, LATENCY:means],
            variance=np.stack([np.einsum("ij,ij->i", s, s) for s in spreads], axis=1)
            if variance
            else None,
        )

    def _sum(self, choices: Choices, depth: Integers, se_blocks: Integers, columns: int) -> Floats:
        """Sum the first `columns` columns over the units of each network."""
        space = self._space
        total = np.repeat(self._overhead[None, :columns], len(choices), axis=0)
        before = np.zeros(len(choices), dtype=np.intp)
        for stage in range(4):
            width = choices[:, space.column("width", stage)]
            flat = width
            for field in ("expansion", "kernel"):
                column = space.column(field, stage)
                flat = flat * len(space.parameters[column].values) + choices[:, column]
            plain, gated = self._blocks[stage][..., :columns]
            with_se = se_blocks[:, stage, None]
            total += (depth[:, stage, None] - with_se) * plain[flat]
            total += with_se * gated[flat]
            total += self._widths[stage][width, :columns]
            if stage:
                chosen = space.downsample_column(stage)
                opened = 0 if chosen is None else choices[:, chosen]
                place = before * len(plain) + flat
                total += self._openings[stage - 1][opened, place, :columns]
            if stage == 3 and self._pairs is not None:
                total += self._pairs[before, width, :columns]
            before = width
        return total


def _integers(space: Space, field: str, stage: int) -> list[int]:
    return [int(value) for value in space.parameters[space.column(field, stage)].values]


def _expansions(space: Space, stage: int) -> list[float]:
    return [float(value) for value in space.parameters[space.column("expansion", stage)].values]


def _rows(row_of: RowOf, units: Sequence[Unit]) -> Rows:
    return np.array([row_of(unit) for unit in units], dtype=np.intp)


def _block_rows(space: Space, stage: int, size: int, row_of: RowOf) -> Rows:
    """Return the table's rows of a stage's blocks, `(2, width, expansion, kernel)`."""
    widths, kernels = _integers(space, "width", stage), _integers(space, "kernel", stage)
    expansions = _expansions(space, stage)
    units = [
        block(width, expansion, kernel, size, se=se)
        for se in (False, True)
        for width in widths
        for expansion in expansions
        for kernel in kernels
    ]
    return _rows(row_of, units).reshape(2, len(widths), len(expansions), len(kernels))


def _opening_rows(space: Space, stage: int, size: int, row_of: RowOf, *, strided: bool) -> Rows:
    """Return the table's rows of a stage's opening, `(downsample, before, width, expansion, kernel, 3)`."""
    before, widths = _integers(space, "width", stage - 1), _integers(space, "width", stage)
    expansions, kernels = _expansions(space, stage), _integers(space, "kernel", stage)
    shape = (len(before), len(widths), len(expansions), len(kernels), 3)
    units = [
        unit
        for narrow in before
        for width in widths
        for expansion in expansions
        for kernel in kernels
        for unit in opening(narrow, width, expansion, kernel, size, strided=strided)
    ]
    deep = _rows(row_of, units).reshape(shape)
    plain = deep.copy()
    plain[..., [0, 2]] = _FREE
    ways = space.file.stages[stage].downsample
    return np.stack([plain if way == PLAIN else deep for way in ways])


def _end_rows(
    space: Space, sizes: Sequence[int], output: OutputKind, num_classes: int, row_of: RowOf
) -> tuple[list[Rows], Rows | None]:
    """Return the rows of what follows the stages.

    Returns:
        By the width of each stage, what follows it: a head, a neck or a feature map; and what follows
        the last two together, by the widths of both, if anything does.
    """
    widths = [_integers(space, "width", stage) for stage in range(4)]
    free = [np.full(len(each), _FREE, dtype=np.intp) for each in widths]
    if output == SAM_FUSED:
        pairs = [
            endings([0, 0, third, fourth], sizes, output, 0)[0]
            for third in widths[2]
            for fourth in widths[3]
        ]
        return free, _rows(row_of, pairs).reshape(len(widths[2]), len(widths[3]))
    if output == FEATURES:
        maps = [
            [Features(width, size) for width in each]
            for each, size in zip(widths, sizes, strict=True)
        ]
        return [_rows(row_of, each) for each in maps], None
    last = [endings([0, 0, 0, width], sizes, output, num_classes)[0] for width in widths[3]]
    return [*free[:3], _rows(row_of, last)], None


def _price(
    units: list[Unit], predictors: Sequence[Predictor]
) -> tuple[Floats, Floats, list[slice]]:
    """Price all units on all devices.

    Returns:
        Prices `(units + 1, columns)` whose last row is free, the overhead of a call `(columns,)`,
        and which columns hold each device's spread: their sums over a network, squared, add up to
        the ensemble's variance.
    """
    counts = np.array([*([unit.macs, unit.params] for unit in units), [0, 0]], dtype=np.float64)
    means, spreads = [], []
    for predictor in predictors:
        costs = np.vstack([predictor.unit_costs(units), predictor.overheads_ms])
        means.append(costs.mean(axis=1, keepdims=True))
        spreads.append(_compressed((costs - means[-1]) / np.sqrt(costs.shape[1])))
    priced = np.hstack([counts, *means, *spreads])
    ends = np.cumsum([spread.shape[1] for spread in spreads]) + LATENCY + len(predictors)
    columns = [
        slice(int(end) - spread.shape[1], int(end))
        for end, spread in zip(ends, spreads, strict=True)
    ]
    free = np.zeros((1, priced.shape[1]))
    return np.vstack([priced[:-1], free]), priced[-1], columns


def _compressed(deviations: Floats) -> Floats:
    """Rotate `(rows, members)` into the fewest columns that keep all sums' squared lengths."""
    _, strengths, directions = np.linalg.svd(deviations, full_matrices=False)
    kept = np.flatnonzero(strengths**2 > _NEGLIGIBLE * np.sum(strengths**2))
    return np.asarray(deviations @ directions[kept].T)
