"""The ten networks between MobileNetV3-L and RepViT-M0.9, as lists of operations.

RepViT's paper (arXiv:2307.09283, Fig. 2 and section 3) tells of each step what it changes, its
latency and most accuracies, but published none of the networks. Where it leaves something open, what
is built here is said in the notes of `latency_lut/iphone12/path.csv`. Rows are those of MobileNetV3's
paper: kernel, expansion, width, SE, stride.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from repvit_nas.operations import Conv, Operation, Pointwise, Pool
from repvit_nas.units import halved, se_hidden_channels

RESOLUTION = 224


class Row(NamedTuple):
    """A row of MobileNetV3's table."""

    kernel: int
    expansion: float
    width: int
    se: bool
    stride: int


MOBILENETV3 = (
    Row(3, 1, 16, False, 1),
    Row(3, 4, 24, False, 2),
    Row(3, 3, 24, False, 1),
    Row(5, 3, 40, True, 2),
    *[Row(5, 3, 40, True, 1)] * 2,
    Row(3, 6, 80, False, 2),
    Row(3, 2.5, 80, False, 1),
    *[Row(3, 2.3, 80, False, 1)] * 2,
    *[Row(3, 6, 112, True, 1)] * 2,
    Row(5, 6, 160, True, 2),
    *[Row(5, 6, 160, True, 1)] * 2,
)
# The first rows, which the stem replaces in step 4.
FIRST = 2
WIDER = {24: 48, 40: 96, 80: 192, 112: 192, 160: 384}

Block = Callable[[int, Row, int], Iterator[Operation]]


def dense(c_in: int, c_out: int, size: int) -> Conv:
    """Return a 3x3 convolution of stride 2."""
    return Conv(c_in, c_out, 9, 1, size, halved(size))


def depthwise(width: int, row: Row, size: int) -> Conv:
    """Return a depthwise convolution with a row's kernel and stride."""
    return Conv(width, width, row.kernel**2, width, size, after(row, size))


def pointwise(c_in: int, c_out: int, size: int) -> Conv:
    """Return a 1x1 convolution."""
    return Conv(c_in, c_out, 1, 1, size, size)


def after(row: Row, size: int) -> int:
    """Return the side of the map behind a row."""
    return size if row.stride == 1 else halved(size)


def squeeze(width: int, bottleneck: int, size: int) -> tuple[Operation, ...]:
    """Return SE on `width` channels."""
    return (
        Pool(width, size),
        Conv(width, bottleneck, 1, 1, 1, 1),
        Conv(bottleneck, width, 1, 1, 1, 1),
        Pointwise("scale", width, size),
    )


def hidden(c_in: int, expansion: float) -> int:
    """Return the nearest multiple of 8 that is at most a tenth below what is asked for."""
    asked = c_in * expansion
    nearest = max(8, int(asked + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * asked else nearest + 8


def inverted(c_in: int, row: Row, size: int) -> Iterator[Operation]:
    """List MobileNetV3's block: 1x1, depthwise, SE on the hidden width, 1x1."""
    middle, side = hidden(c_in, row.expansion), after(row, size)
    if row.expansion != 1:
        yield pointwise(c_in, middle, size)
        yield Pointwise("gelu", middle, size)
    yield depthwise(middle, row, size)
    yield from squeeze(middle, hidden(middle, 0.25), side) if row.se else ()
    yield Pointwise("gelu", middle, side)
    yield pointwise(middle, row.width, side)
    if row.stride == 1 and c_in == row.width:
        yield Pointwise("add", row.width, side)


def separated(c_in: int, row: Row, size: int) -> Iterator[Operation]:
    """List RepViT's block: depthwise, SE on its width, 1x1, 1x1."""
    middle, side = hidden(c_in, row.expansion), after(row, size)
    yield depthwise(c_in, row, size)
    yield from squeeze(c_in, se_hidden_channels(c_in), side) if row.se else ()
    yield pointwise(c_in, middle, side)
    yield Pointwise("gelu", middle, side)
    yield pointwise(middle, row.width, side)
    if row.stride == 1 and c_in == row.width:
        yield Pointwise("add", row.width, side)


def deep_downsample(c_in: int, row: Row, size: int) -> Iterator[Operation]:
    """List what opens a stage: a block, a depthwise convolution, a 1x1 and an FFN."""
    side = after(row, size)
    yield from separated(c_in, Row(row.kernel, 2, c_in, se=False, stride=1), size)
    yield depthwise(c_in, row, size)
    yield from squeeze(c_in, se_hidden_channels(c_in), side) if row.se else ()
    yield pointwise(c_in, row.width, side)
    yield pointwise(row.width, 2 * row.width, side)
    yield Pointwise("gelu", 2 * row.width, side)
    yield pointwise(2 * row.width, row.width, side)
    yield Pointwise("add", row.width, side)


def first_rows(second_width: int) -> Iterator[Operation]:
    """List MobileNetV3's first convolution and its first two rows."""
    half = RESOLUTION // 2
    yield dense(3, 16, RESOLUTION)
    yield Pointwise("gelu", 16, half)
    yield from inverted(16, MOBILENETV3[0], half)
    yield from inverted(16, MOBILENETV3[1]._replace(width=second_width), half)


def stem(width: int) -> Iterator[Operation]:
    """List two convolutions of stride 2."""
    yield dense(3, width // 2, RESOLUTION)
    yield Pointwise("gelu", width // 2, RESOLUTION // 2)
    yield dense(width // 2, width, RESOLUTION // 2)


def body(rows: Sequence[Row], c_in: int, block: Block, opening: Block) -> Iterator[Operation]:
    """List the rows after the first two; those of stride 2 are an `opening`, others a `block`."""
    size = RESOLUTION // 4
    for row in rows:
        yield from (block if row.stride == 1 else opening)(c_in, row, size)
        c_in, size = row.width, after(row, size)


def wide_head(width: int, middle: int) -> Iterator[Operation]:
    """List MobileNetV3's head: a 1x1, the mean, and two linear layers."""
    size = RESOLUTION // 32
    yield pointwise(width, middle, size)
    yield Pointwise("gelu", middle, size)
    yield Pool(middle, size)
    yield Conv(middle, 1280, 1, 1, 1, 1)
    yield Conv(1280, 1000, 1, 1, 1, 1)


def simple_head(width: int) -> Iterator[Operation]:
    """List the mean and a linear layer."""
    yield Pool(width, RESOLUTION // 32)
    yield Conv(width, 1000, 1, 1, 1, 1)


def path() -> Iterator[tuple[str, list[Operation]]]:
    """Yield the name and the operations of each network but the last, which is RepViT-M0.9."""
    published = MOBILENETV3[FIRST:]
    narrow = [row._replace(expansion=2) for row in published]
    wide = [row._replace(width=WIDER[row.width]) for row in narrow]
    opens = [index for index, row in enumerate(wide) if row.stride == 2]
    first, second, third, fourth = (
        wide[start:end] for start, end in itertools.pairwise((0, *opens, len(wide)))
    )
    # Fourteen blocks after the third opening, the last six with SE: MobileNetV3's last two of five have.
    deeper = [*first * 2, *second, third[0], *[third[1]] * 8, *[third[-1]] * 6, *fourth]
    small = [row._replace(kernel=3) for row in deeper]
    old, older, new = list(first_rows(24)), list(first_rows(48)), list(stem(48))
    head = list(wide_head(384, 2 * 384))
    for name, parts in (
        ("0_mobilenetv3_l", (old, body(published, 24, inverted, inverted), wide_head(160, 960))),
        ("1_block", (old, body(published, 24, separated, separated), wide_head(160, 960))),
        ("2_expansion", (old, body(narrow, 24, separated, separated), wide_head(160, 320))),
        ("3_width", (older, body(wide, 48, separated, separated), head)),
        ("3b_inverted", (older, body(wide, 48, inverted, inverted), head)),
        ("4_stem", (new, body(wide, 48, separated, separated), head)),
        ("5_downsampling", (new, body(wide, 48, separated, deep_downsample), head)),
        ("6_classifier", (new, body(wide, 48, separated, deep_downsample), simple_head(384))),
        ("7_depth", (new, body(deeper, 48, separated, deep_downsample), simple_head(384))),
        ("8_kernel", (new, body(small, 48, separated, deep_downsample), simple_head(384))),
    ):
        yield f"path_{name}", list(itertools.chain(*parts))
