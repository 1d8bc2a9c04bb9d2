"""The units of a RepViT network and the one walk that lists them.

A unit is what a latency table has a row for: frozen, hashable, integers only. Costs, table keys,
features and the torch module all come from :func:`rows`; nothing else walks a network.
Feature maps are square; `size` is the height and width of the unit's input.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

import msgspec

from repvit_nas.architecture import (
    FEATURES,
    LOGITS,
    SAM,
    SAM_CHANNELS,
    Architecture,
    OutputKind,
    hidden_channels,
)
from repvit_nas.operations import (
    BYTES_PER_ELEMENT,
    Conv,
    Norm,
    Operation,
    Output,
    Pointwise,
    Pool,
    Resize,
)
from repvit_nas.quantities import Extent, ExtentOrNone

SE_RATIO = 0.25
SE_DIVISOR = 8


def se_hidden_channels(width: int) -> int:
    """Return the bottleneck of SE: a quarter of `width` to the nearest multiple of 8, at least 8.

    As timm's `SqueezeExcite` and the official code do.
    """
    return max(SE_DIVISOR, int(width * SE_RATIO + SE_DIVISOR / 2) // SE_DIVISOR * SE_DIVISOR)


def halved(size: int) -> int:
    """Return the side of a map after a stride-2 convolution with 'same' padding."""
    return (size + 1) // 2


class _Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all units share; each adds its fields and lists its operations."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        raise NotImplementedError

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(operation.macs for operation in self.operations)

    @property
    def params(self) -> int:
        """Parameters of the fused unit, biases included."""
        return sum(operation.params for operation in self.operations)

    @property
    def size_bytes(self) -> int:
        """Bytes of the fused unit's parameters in fp16."""
        return BYTES_PER_ELEMENT * self.params

    @property
    def bytes_moved(self) -> int:
        """Bytes of weights read, and of activations read and written, in fp16."""
        elements = sum(
            operation.params + operation.elements_in + operation.elements_out
            for operation in self.operations
        )
        return BYTES_PER_ELEMENT * elements

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16.

        A convolution needs input and output at once; GELU, the gate and the addition work in
        place; a residual stays alive until it is added.
        """
        raise NotImplementedError


class Stem(_Unit, frozen=True, tag="stem"):
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


class Block(_Unit, frozen=True, tag="block"):
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
        gate = _se_operations(self.width, self.se, self.size) if self.se else ()
        return (mixer, *gate, *_ffn_operations(self.width, self.hidden, self.size))

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        return BYTES_PER_ELEMENT * (2 * self.width + self.hidden) * self.size**2


class Downsample(_Unit, frozen=True, tag="downsample"):
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


class Widen(_Unit, frozen=True, tag="widen"):
    """What opens the last stage of RepViT-SAM: a downsample whose depthwise convolution has no stride."""

    c_in: Extent
    c_out: Extent
    kernel: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        return (
            Conv(self.c_in, self.c_in, self.kernel**2, self.c_in, self.size, self.size),
            Conv(self.c_in, self.c_out, 1, 1, self.size, self.size),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        return BYTES_PER_ELEMENT * (self.c_in + max(self.c_in, self.c_out)) * self.size**2


class Ffn(_Unit, frozen=True, tag="ffn"):
    """A residual FFN: 1x1 `width` -> `hidden`, GELU, 1x1 back, addition."""

    width: Extent
    hidden: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        return _ffn_operations(self.width, self.hidden, self.size)

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        return BYTES_PER_ELEMENT * (2 * self.width + self.hidden) * self.size**2


class Head(_Unit, frozen=True, tag="head"):
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


class Features(_Unit, frozen=True, tag="features"):
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


class Neck(_Unit, frozen=True, tag="neck"):
    """RepViT-SAM's neck: 1x1 to `channels`, layer norm, 3x3, layer norm, the map handed back."""

    width: Extent
    size: Extent
    channels: Extent = SAM_CHANNELS

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order; the convolutions have no bias."""
        return (
            _unbiased(self.width, self.channels, 1, self.size),
            *_neck_operations(self.channels, self.size),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        return BYTES_PER_ELEMENT * (self.channels + max(self.width, self.channels)) * self.size**2


class FusedNeck(_Unit, frozen=True, tag="fused-neck"):
    """A neck of the last two stages: each through a 1x1, the smaller resized and added.

    Behind it the same layer norm, 3x3 and layer norm as in :class:`Neck`. `size` is the side of the
    third stage's map; the fourth's is half of it.
    """

    width: Extent
    last_width: Extent
    size: Extent
    channels: Extent = SAM_CHANNELS

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order; the convolutions have no bias."""
        half = halved(self.size)
        return (
            _unbiased(self.last_width, self.channels, 1, half),
            Resize(self.channels, half, self.size),
            _unbiased(self.width, self.channels, 1, self.size),
            Pointwise("add", self.channels, self.size),
            *_neck_operations(self.channels, self.size),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        resized = self.channels * self.size**2
        lateral = (self.channels + self.width) * self.size**2
        return BYTES_PER_ELEMENT * (resized + max(lateral, resized))


class Foreign(_Unit, frozen=True, tag="foreign"):
    """One operation of a published network of another family; latency models learn from them."""

    operation: Operation

    # A network of another family is only ever timed whole; its units have no peak of their own.
    peak_bytes: ClassVar[int] = 0

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operation itself."""
        return (self.operation,)


Unit = Stem | Block | Downsample | Widen | Ffn | Head | Features | Neck | FusedNeck | Foreign
# What a network ends with.
End = Head | Features | Neck | FusedNeck


def _ffn_operations(width: int, hidden: int, size: int) -> tuple[Operation, ...]:
    return (
        Conv(width, hidden, 1, 1, size, size),
        Pointwise("gelu", hidden, size),
        Conv(hidden, width, 1, 1, size, size),
        Pointwise("add", width, size),
    )


def _se_operations(width: int, bottleneck: int, size: int) -> tuple[Operation, ...]:
    return (
        Pool(width, size),
        Conv(width, bottleneck, 1, 1, 1, 1),
        Conv(bottleneck, width, 1, 1, 1, 1),
        Pointwise("scale", width, size),
    )


def _unbiased(c_in: int, c_out: int, taps: int, size: int) -> Conv:
    return Conv(c_in, c_out, taps, 1, size, size, bias=False)


def _neck_operations(channels: int, size: int) -> tuple[Operation, ...]:
    return (
        Norm(channels, size),
        _unbiased(channels, channels, 9, size),
        Norm(channels, size),
        Output(channels, size),
    )


def stage_sizes(resolution: int, output: OutputKind = LOGITS) -> tuple[int, int, int, int]:
    """Return the side of the feature maps of the four stages; RepViT-SAM's last two are equal."""
    first = halved(halved(resolution))
    second = halved(first)
    third = halved(second)
    return (first, second, third, third if output == SAM else halved(third))


def ends(
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
    """What opens stages 2 to 4 of a network."""

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


def rows(architecture: Architecture) -> tuple[Unit, ...]:
    """List the units of a network in the order in which an image passes them."""
    sizes = stage_sizes(architecture.resolution, architecture.output)
    units: list[Unit] = [Stem(architecture.stages[0].width, architecture.resolution)]
    width_before = 0
    for index, (stage, size) in enumerate(zip(architecture.stages, sizes, strict=True)):
        if index:
            units += opening(
                width_before,
                stage.width,
                stage.expansion,
                stage.kernel,
                sizes[index - 1],
                strided=is_strided(index, architecture.output),
            )
        made = {
            digit: block(stage.width, stage.expansion, stage.kernel, size, se=digit == "1")
            for digit in set(stage.se)
        }
        units += [made[digit] for digit in stage.se]
        width_before = stage.width
    widths = [stage.width for stage in architecture.stages]
    units += ends(widths, sizes, architecture.output, architecture.num_classes)
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
    opened = [place for place, unit in enumerate(chain) if isinstance(unit, Downsample)]
    return chain, [*(place - 2 for place in opened), len(chain) - 1]


def count(units: Iterable[Unit]) -> Counter[Unit]:
    """Count equal units: the bag that an observation holds."""
    return Counter(units)
