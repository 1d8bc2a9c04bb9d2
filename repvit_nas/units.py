"""The units of a RepViT network and the one walk that lists them.

A unit is what a latency table has a row for: frozen, hashable, integers only. Costs, table keys,
features and the torch module all come from :func:`rows`; nothing else walks a network.
Feature maps are square; `size` is the height and width of the unit's input.
"""

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import msgspec

from repvit_nas.architecture import Architecture, hidden_channels
from repvit_nas.operations import BYTES_PER_ELEMENT, Conv, Operation, Output, Pointwise, Pool
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


class Foreign(_Unit, frozen=True, tag="foreign"):
    """One operation of a published network of another family; latency models learn from them."""

    operation: Operation

    # A network of another family is only ever timed whole; its units have no peak of their own.
    peak_bytes: ClassVar[int] = 0

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operation itself."""
        return (self.operation,)


Unit = Stem | Block | Downsample | Ffn | Head | Features | Foreign


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


def stage_sizes(resolution: int) -> tuple[int, int, int, int]:
    """Return the side of the feature maps of the four stages."""
    first = halved(halved(resolution))
    second = halved(first)
    third = halved(second)
    return (first, second, third, halved(third))


class Opening(NamedTuple):
    """What opens stages 2 to 4 of a network."""

    pre_block: Block
    downsample: Downsample
    ffn: Ffn


def opening(width_before: int, width: int, expansion: float, kernel: int, size: int) -> Opening:
    """Return the units that open a stage, from `width_before` at `size` to `width` at half of it.

    The pre-block never has SE; expansion and kernel are those of the stage that is opened.
    """
    return Opening(
        Block(width_before, hidden_channels(width_before, expansion), 0, kernel, size),
        Downsample(width_before, width, kernel, size),
        Ffn(width, hidden_channels(width, expansion), halved(size)),
    )


def block(width: int, expansion: float, kernel: int, size: int, *, se: bool) -> Block:
    """Return one block of a stage."""
    bottleneck = se_hidden_channels(width) if se else 0
    return Block(width, hidden_channels(width, expansion), bottleneck, kernel, size)


def rows(architecture: Architecture) -> tuple[Unit, ...]:
    """List the units of a network in the order in which an image passes them."""
    sizes = stage_sizes(architecture.resolution)
    units: list[Unit] = [Stem(architecture.stages[0].width, architecture.resolution)]
    width_before = 0
    for index, (stage, size) in enumerate(zip(architecture.stages, sizes, strict=True)):
        if index:
            units += opening(
                width_before, stage.width, stage.expansion, stage.kernel, sizes[index - 1]
            )
        made = {
            digit: block(stage.width, stage.expansion, stage.kernel, size, se=digit == "1")
            for digit in set(stage.se)
        }
        units += [made[digit] for digit in stage.se]
        width_before = stage.width
    if architecture.num_classes:
        units.append(Head(width_before, architecture.num_classes, sizes[-1]))
    else:
        units += [
            Features(stage.width, size)
            for stage, size in zip(architecture.stages, sizes, strict=True)
        ]
    return tuple(units)


def count(units: Iterable[Unit]) -> Counter[Unit]:
    """Count equal units: the bag that an observation holds."""
    return Counter(units)
