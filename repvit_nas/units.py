"""The units of a RepViT network and the one walk that lists them.

A unit is what a latency table has a row for: frozen, hashable, integers only. Costs, table keys,
features and the torch module all come from :func:`rows`; nothing else walks a network.
Feature maps are square; `size` is the height and width of the unit's input.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, NamedTuple

import msgspec

from repvit_nas.architecture import (
    FEATURES,
    LOGITS,
    MAX_CLASSES,
    PLAIN,
    RESOLUTIONS,
    SAM,
    Architecture,
    OutputKind,
    check_name,
    hidden_channels,
    require,
)
from repvit_nas.counting import (
    CountedUnit,
    ffn_operations,
    halved,
    se_hidden_channels,
    se_operations,
)
from repvit_nas.necks import FusedNeck, Neck, Widen
from repvit_nas.operations import BYTES_PER_ELEMENT, Conv, Operation, Output, Pointwise, Pool
from repvit_nas.path_units import (
    ConvGelu,
    GatedDownsample,
    Inverted,
    PathUnit,
    Separated,
    WideHead,
    after_stride,
)
from repvit_nas.quantities import Extent, ExtentOrNone

# The most units of a network that is told by them.
MAX_UNITS: Final = 1024
# Of a file that tells a network by its units; four stages are schema 1.
LISTED_SCHEMA: Final = 2


class Stem(CountedUnit, frozen=True, tag="stem"):
    """Two 3x3 stride-2 convolutions with GELU between: 3 -> `width`/2 -> `width` channels."""

    width: Extent
    size: Extent
    c_in: Extent = 3

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        middle, half, quarter = self.width // 2, halved(self.size), halved(halved(self.size))
        return (
            Conv(self.c_in, middle, 9, 1, self.size, half),
            Pointwise("gelu", middle, half),
            Conv(middle, self.width, 9, 1, half, quarter),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        half = self.width // 2 * halved(self.size) ** 2
        quarter = self.width * halved(halved(self.size)) ** 2
        return BYTES_PER_ELEMENT * (half + max(self.c_in * self.size**2, quarter))


class Block(CountedUnit, frozen=True, tag="block"):
    """A RepViT block: depthwise `kernel`, SE (`se` bottleneck channels, 0 for none), FFN."""

    width: Extent
    hidden: Extent
    se: ExtentOrNone
    kernel: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        mixer = Conv(self.width, self.width, self.kernel**2, self.width, self.size, self.size)
        gate = se_operations(self.width, self.se, self.size) if self.se else ()
        return (mixer, *gate, *ffn_operations(self.width, self.hidden, self.size))

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        return BYTES_PER_ELEMENT * (2 * self.width + self.hidden) * self.size**2


class Downsample(CountedUnit, frozen=True, tag="downsample"):
    """A stride-2 depthwise convolution and a 1x1 convolution `c_in` -> `c_out`."""

    c_in: Extent
    c_out: Extent
    kernel: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        half = halved(self.size)
        return (
            Conv(self.c_in, self.c_in, self.kernel**2, self.c_in, self.size, half),
            Conv(self.c_in, self.c_out, 1, 1, half, half),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        small = self.c_in * halved(self.size) ** 2
        other = max(self.c_in * self.size**2, self.c_out * halved(self.size) ** 2)
        return BYTES_PER_ELEMENT * (small + other)


class Ffn(CountedUnit, frozen=True, tag="ffn"):
    """A residual FFN: 1x1 `width` -> `hidden`, GELU, 1x1 back, addition."""

    width: Extent
    hidden: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        return ffn_operations(self.width, self.hidden, self.size)

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        return BYTES_PER_ELEMENT * (2 * self.width + self.hidden) * self.size**2


class Head(CountedUnit, frozen=True, tag="head"):
    """Global average pooling and one linear layer."""

    width: Extent
    classes: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        return (Pool(self.width, self.size), Conv(self.width, self.classes, 1, 1, 1, 1))

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        return BYTES_PER_ELEMENT * (self.width + max(self.width * self.size**2, self.classes))


class Features(CountedUnit, frozen=True, tag="features"):
    """A stage's feature map handed back to the caller: what a backbone does instead of a head."""

    width: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        return (Output(self.width, self.size),)

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        return BYTES_PER_ELEMENT * self.width * self.size**2


class Foreign(CountedUnit, frozen=True, tag="foreign"):
    """One operation of a published network of another family; latency models learn from them."""

    operation: Operation

    # A network of another family is only ever timed whole; its units have no peak of their own.
    peak_bytes: ClassVar[int] = 0

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operation itself."""
        return (self.operation,)


Unit = (
    Stem
    | Block
    | Downsample
    | Widen
    | Ffn
    | Head
    | Features
    | Neck
    | FusedNeck
    | Foreign
    | PathUnit
)
# What a network ends with.
End = Head | Features | Neck | FusedNeck


class Ends(NamedTuple):
    """What a unit takes and hands on: channels, and the side of the map."""

    channels_in: int
    size_in: int
    channels_out: int
    size_out: int


def ends(unit: Unit) -> Ends:
    """Return what a unit of a classifier takes and hands on; a head hands on its classes.

    Raises:
        TypeError: The unit is not one that a classifier is made of.
    """
    match unit:
        case Stem(width, size, c_in):
            return Ends(c_in, size, width, halved(halved(size)))
        case Block(width=width, size=size) | Ffn(width=width, size=size):
            return Ends(width, size, width, size)
        case Downsample(c_in, c_out, size=size) | GatedDownsample(c_in, c_out, size=size):
            return Ends(c_in, size, c_out, halved(size))
        case (
            ConvGelu(c_in=c_in, c_out=c_out, stride=stride, size=size)
            | Inverted(c_in=c_in, c_out=c_out, stride=stride, size=size)
            | Separated(c_in=c_in, c_out=c_out, stride=stride, size=size)
        ):
            return Ends(c_in, size, c_out, after_stride(size, stride))
        case Head(width, classes, size) | WideHead(width, classes=classes, size=size):
            return Ends(width, size, classes, 1)
        case _:
            return _ends_of_an_encoder(unit)


def _ends_of_an_encoder(unit: Unit) -> Ends:
    match unit:
        case Widen(c_in, c_out, size=size):
            return Ends(c_in, size, c_out, size)
        case Neck(width, size, channels):
            return Ends(width, size, channels, size)
        case _:
            raise TypeError(f"{type(unit).__name__} cannot be run on its own")


class Listed(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="schema",
    tag=LISTED_SCHEMA,
):
    """A classifier that is told by its units, in the order in which an image passes them.

    What no four stages can say: MobileNetV3 and the networks between it and RepViT. In files it is
    schema 2 of an architecture.

    Attributes:
        name: What to call it, in one line.
        units: Each takes what the one before it hands on; the last one is a head.
    """

    name: str = ""
    units: tuple[Unit, ...]

    def __post_init__(self) -> None:
        """Check that the units make a network."""
        units = tuple(self.units)
        msgspec.structs.force_setattr(self, "units", units)  # a list cannot be hashed
        check_name(self.name)
        require(1 <= len(units) <= MAX_UNITS, f"units must be 1 to {MAX_UNITS}", len(units))
        for number, unit in enumerate(units):
            last = number == len(units) - 1
            require(
                isinstance(unit, _IN_A_LIST) and isinstance(unit, Head | WideHead) == last,
                f"units[{number}] must be {'a head' if last else 'a unit of a network before its head'}",
                type(unit).__name__,
            )
            kernel = getattr(unit, "kernel", 1)
            require(kernel % 2 == 1, f"units[{number}].kernel must be odd", kernel)
        for number, (one, other) in enumerate(itertools.pairwise(map(ends, units)), start=1):
            require(
                (one.channels_out, one.size_out) == (other.channels_in, other.size_in),
                f"units[{number}] must take the {one.channels_out} channels at {one.size_out} px that "
                "the unit before it hands on",
                f"{other.channels_in} at {other.size_in} px",
            )
        low, high = RESOLUTIONS
        require(
            low <= self.resolution <= high, f"resolution must be {low} to {high}", self.resolution
        )
        require(
            1 <= self.num_classes <= MAX_CLASSES,
            f"classes must be 1 to {MAX_CLASSES}",
            self.num_classes,
        )

    @property
    def resolution(self) -> int:
        """Side of the square input image in pixels."""
        return ends(self.units[0]).size_in

    @property
    def output(self) -> OutputKind:
        """What it hands back."""
        return LOGITS

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier."""
        return ends(self.units[-1]).channels_out


_IN_A_LIST: Final = (Stem, Block, Downsample, Ffn, Head, *PathUnit.__args__)
# A network, however it is told.
Network = Architecture | Listed


def stage_sizes(resolution: int, output: OutputKind = LOGITS) -> tuple[int, int, int, int]:
    """Return the side of the feature maps of the four stages; RepViT-SAM's last two are equal."""
    first = halved(halved(resolution))
    second = halved(first)
    third = halved(second)
    return (first, second, third, third if output == SAM else halved(third))


def endings(
    widths: Sequence[int], sizes: Sequence[int], output: OutputKind, num_classes: int
) -> tuple[End, ...]:
    """Return what follows the stages of a network.

    Args:
        widths: Channels of the four stages.
        sizes: Sides of their maps.
        output: What the network hands back.
        num_classes: Outputs of its classifier, if that is what it has.
    """
    if output == LOGITS:
        return (Head(widths[-1], num_classes, sizes[-1]),)
    if output == FEATURES:
        return tuple(Features(width, size) for width, size in zip(widths, sizes, strict=True))
    if output == SAM:
        return (Neck(widths[-1], sizes[-1]),)
    return (FusedNeck(widths[-2], widths[-1], sizes[-2]),)


def is_strided(stage: int, output: OutputKind) -> bool:
    """Tell whether stage 1 to 3, counted from 0, opens with a stride: RepViT-SAM's last one does not."""
    return stage < 3 or output != SAM


class Opening(NamedTuple):
    """What opens stages 2 to 4 of a network; a plain opening is the downsample alone."""

    pre_block: Block
    downsample: Downsample | Widen
    ffn: Ffn


def opening(
    width_before: int,
    width: int,
    expansion: float,
    kernel: int,
    size: int,
    *,
    strided: bool = True,
) -> Opening:
    """Return the units that open a stage, from `width_before` at `size` to `width` at half of it.

    The pre-block never has SE; expansion and kernel are those of the stage that is opened. Without
    stride the map keeps its side.
    """
    change = Downsample if strided else Widen
    return Opening(
        Block(width_before, hidden_channels(width_before, expansion), 0, kernel, size),
        change(width_before, width, kernel, size),
        Ffn(width, hidden_channels(width, expansion), halved(size) if strided else size),
    )


def block(width: int, expansion: float, kernel: int, size: int, *, se: bool) -> Block:
    """Return one block of a stage."""
    bottleneck = se_hidden_channels(width) if se else 0
    return Block(width, hidden_channels(width, expansion), bottleneck, kernel, size)


def rows(architecture: Network) -> tuple[Unit, ...]:
    """List the units of a network in the order in which an image passes them."""
    if isinstance(architecture, Listed):
        return architecture.units
    sizes = stage_sizes(architecture.resolution, architecture.output)
    units: list[Unit] = [Stem(architecture.stages[0].width, architecture.resolution)]
    width_before = 0
    for index, (stage, size) in enumerate(zip(architecture.stages, sizes, strict=True)):
        if index:
            opened = opening(
                width_before,
                stage.width,
                stage.expansion,
                stage.kernel,
                sizes[index - 1],
                strided=is_strided(index, architecture.output),
            )
            units += [opened.downsample] if stage.downsample == PLAIN else opened
        made = {
            digit: block(stage.width, stage.expansion, stage.kernel, size, se=digit == "1")
            for digit in set(stage.se)
        }
        units += [made[digit] for digit in stage.se]
        width_before = stage.width
    widths = [stage.width for stage in architecture.stages]
    units += endings(widths, sizes, architecture.output, architecture.num_classes)
    return tuple(units)


def tapped(units: Sequence[Unit]) -> tuple[list[Unit], list[int]]:
    """Return the chain of units that an image passes, and behind which of them a map is handed back.

    What hands maps back takes none: the units of a network are its chain, and behind it one for each
    map. The map of a stage is that in front of the block that opens the next one.

    Args:
        units: Of a network, or of any other program: one without maps hands back what its last makes.
    """
    chain: list[Unit] = [unit for unit in units if not isinstance(unit, Features)]
    if len(chain) == len(units) or not chain:
        return list(units), [len(units) - 1]
    places = []
    for place, unit in enumerate(chain):
        if isinstance(unit, Downsample):
            # A deep opening begins with a block of its own, a plain one is the downsample alone.
            plain = not isinstance(chain[place + 1], Ffn)
            places.append(place - 1 if plain else place - 2)
    return chain, [*places, len(chain) - 1]


def count(units: Iterable[Unit]) -> Counter[Unit]:
    """Count equal units: the bag that an observation holds."""
    return Counter(units)
