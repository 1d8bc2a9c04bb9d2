"""The networks between MobileNetV3-L and RepViT-M0.9 (RepViT's Fig. 2), told by their units.

The paper (arXiv:2307.09283v8, section 3) says of each step what it changes, its latency and most
accuracies, but published none of the networks. Where it leaves something open, `search_space/path.toml`
says how it was read. Rows are those of MobileNetV3's paper: kernel, expansion, width, SE, stride.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.counting import halved, se_hidden_channels
from repvit_nas.errors import UnknownNameError
from repvit_nas.path_units import (
    ConvGelu,
    GatedDownsample,
    Inverted,
    Separated,
    WideHead,
    after_stride,
)
from repvit_nas.units import Block, Downsample, Ffn, Head, Listed, Stem, Unit

PREFIX: Final = "path"
PATH_MEANING: Final = "ImageNet-1k top-1 after 300 epochs without a teacher"
_SIDE: Final = 224
_CLASSES: Final = 1000


class PublishedStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was published of one network of the path.

    Attributes:
        step: Its number, as in `path:3`.
        network: What the network is called in tables of latencies.
        title: What the step changes.
        reference: Where in the paper it is.
        top1: Published ImageNet-1k top-1 in percent, 300 epochs without a teacher; None where none was.
        open: What the paper leaves open, each with how it was read.
    """

    step: str
    network: str
    title: str
    reference: str
    top1: Annotated[float, msgspec.Meta(gt=0, lt=100)] | None = None
    open: tuple[str, ...] = ()

    @property
    def after(self) -> str:
        """The step that it is one from; empty for the first, and where it is none, as 3b."""
        return str(int(self.step) - 1) if self.step.isdigit() and self.step != "0" else ""


class PathFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `path.toml` (schema 1)."""

    schema: Literal[1]
    steps: tuple[PublishedStep, ...]

    def __post_init__(self) -> None:
        """Check that the file tells of the networks that are built here, each once."""
        told, built = sorted(step.step for step in self.steps), sorted(networks())
        if told != built:
            raise ValueError(f"steps must be {', '.join(built)}; got {', '.join(told)[:80]}")


class Row(NamedTuple):
    """A row of MobileNetV3's table."""

    kernel: int
    expansion: float
    width: int
    se: bool
    stride: int


_MOBILENETV3: Final = (
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
_FIRST: Final = 2
_WIDER: Final = {24: 48, 40: 96, 80: 192, 112: 192, 160: 384}

_Block = Callable[[int, Row, int], Sequence[Unit]]


def path() -> dict[str, PublishedStep]:
    """Return what was published of the networks by step, in the order of the file."""
    return {step.step: step for step in _file().steps}


@functools.lru_cache(maxsize=1)
def _file() -> PathFile:
    found = data.find("search_space", "path.toml", "path to RepViT")
    return files.read_toml(found.path, PathFile)


def published_step(network: Listed) -> PublishedStep | None:
    """Return what was published of a network, if it is one of the path."""
    steps = [step for step, built in networks().items() if built.units == network.units]
    return path()[steps[0]] if steps else None


def path_network(step: str) -> Listed:
    """Return the network of a step of the path.

    Raises:
        UnknownNameError: There is no such step.
    """
    if step not in networks():
        raise UnknownNameError.of("step of the path", step, list(networks()))
    return networks()[step]


@functools.lru_cache(maxsize=1)
def networks() -> Mapping[str, Listed]:
    """Return the networks of the path by step, at 224 px with 1000 classes."""
    narrow = [row._replace(expansion=2) for row in _MOBILENETV3[_FIRST:]]
    wide = [row._replace(width=_WIDER[row.width]) for row in narrow]
    deep = _deeper(wide)
    small = [row._replace(kernel=3) for row in deep]
    old, older, new = _first_rows(24), _first_rows(48), (Stem(48, _SIDE),)
    as_published = _body(_MOBILENETV3[_FIRST:], 24, _inverted, _inverted)
    separated = _body(_MOBILENETV3[_FIRST:], 24, _separated, _separated)
    wide_head, head = _wide_head(384, 2 * 384), _head(384)
    found: dict[str, tuple[str, Sequence[Sequence[Unit]]]] = {
        "0": ("path_0_mobilenetv3_l", (old, as_published, _wide_head(160, 960))),
        "1": ("path_1_block", (old, separated, _wide_head(160, 960))),
        "2": (
            "path_2_expansion",
            (old, _body(narrow, 24, _separated, _separated), _wide_head(160, 2 * 160)),
        ),
        "3": ("path_3_width", (older, _body(wide, 48, _separated, _separated), wide_head)),
        "3b": ("path_3b_inverted", (older, _body(wide, 48, _inverted, _inverted), wide_head)),
        "4": ("path_4_stem", (new, _body(wide, 48, _separated, _separated), wide_head)),
        "5": ("path_5_downsampling", (new, _body(wide, 48, _separated, _deep), wide_head)),
        "6": ("path_6_classifier", (new, _body(wide, 48, _separated, _deep), head)),
        "7": ("path_7_depth", (new, _body(deep, 48, _separated, _deep), head)),
        "8": ("path_8_kernel", (new, _body(small, 48, _separated, _deep), head)),
        "9": ("path_9_se", (new, _body(_alternating(small), 48, _separated, _deep), head)),
    }
    return {
        step: Listed(name=name, units=tuple(itertools.chain(*parts)))
        for step, (name, parts) in found.items()
    }


def _deeper(rows: Sequence[Row]) -> list[Row]:
    """Return rows with 2, 2, 14 and 2 blocks behind what opens a stage.

    The last six of the fourteen have SE: MobileNetV3's last two of five have.
    """
    opens = [index for index, row in enumerate(rows) if row.stride == 2]
    first, second, third, fourth = (
        rows[start:end] for start, end in itertools.pairwise((0, *opens, len(rows)))
    )
    return [*first, *first, *second, third[0], *[third[1]] * 8, *[third[-1]] * 6, *fourth]


def _alternating(rows: Sequence[Row]) -> list[Row]:
    """Return rows with SE in the first block of each stage, the third and so on."""
    found, number = [], 0
    for row in rows:
        number = 0 if row.stride == 2 else number + 1
        found.append(row._replace(se=number % 2 == 1))
    return found


def _hidden(c_in: int, expansion: float) -> int:
    """Return the nearest multiple of 8 that is at most a tenth below what is asked for."""
    asked = c_in * expansion
    nearest = max(8, int(asked + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * asked else nearest + 8


def _inverted(c_in: int, row: Row, size: int) -> Sequence[Unit]:
    hidden = _hidden(c_in, row.expansion)
    se = _hidden(hidden, 0.25) if row.se else 0
    return (Inverted(c_in, hidden, row.width, se, row.kernel, row.stride, size),)


def _separated(c_in: int, row: Row, size: int) -> Sequence[Unit]:
    hidden, se = _hidden(c_in, row.expansion), se_hidden_channels(c_in) if row.se else 0
    if row.stride == 1 and c_in == row.width:
        return (Block(c_in, hidden, se, row.kernel, size),)
    return (Separated(c_in, hidden, row.width, se, row.kernel, row.stride, size),)


def _deep(c_in: int, row: Row, size: int) -> Sequence[Unit]:
    """Return what opens a stage: a block, a downsample and an FFN."""
    width = row.width
    return (
        Block(c_in, 2 * c_in, 0, row.kernel, size),
        GatedDownsample(c_in, width, se_hidden_channels(c_in), row.kernel, size)
        if row.se
        else Downsample(c_in, width, row.kernel, size),
        Ffn(width, 2 * width, halved(size)),
    )


def _first_rows(second_width: int) -> Sequence[Unit]:
    """Return MobileNetV3's first convolution and its first two rows."""
    half = halved(_SIDE)
    first, second = _MOBILENETV3[:_FIRST]
    return (
        ConvGelu(3, 16, 3, 2, _SIDE),
        *_inverted(16, first, half),
        *_inverted(16, second._replace(width=second_width), half),
    )


def _body(rows: Sequence[Row], c_in: int, block: _Block, opening: _Block) -> Sequence[Unit]:
    """Return the units of the rows after the first two; those of stride 2 are an `opening`."""
    units: list[Unit] = []
    size = halved(halved(_SIDE))
    for row in rows:
        units += (block if row.stride == 1 else opening)(c_in, row, size)
        c_in, size = row.width, after_stride(size, row.stride)
    return units


def _wide_head(width: int, middle: int) -> Sequence[Unit]:
    return (WideHead(width, middle, 1280, _CLASSES, _SIDE // 32),)


def _head(width: int) -> Sequence[Unit]:
    return (Head(width, _CLASSES, _SIDE // 32),)
