"""Room: the units on the path from MobileNetV3-L to RepViT that no RepViT network has.

As those of :mod:`repvit_nas.units`, but that each may stand in one place of one network only: none is
searched, and none has a row in a latency table.
"""

from repvit_nas.counting import CountedUnit, halved, se_operations
from repvit_nas.operations import BYTES_PER_ELEMENT, Conv, Operation, Pointwise, Pool
from repvit_nas.quantities import Extent, ExtentOrNone, Stride


def after_stride(size: int, stride: int) -> int:
    """Return the side of a map behind a convolution of stride 1 or 2."""
    return halved(size) if stride == 2 else size


class ConvGelu(CountedUnit, frozen=True, tag="conv-gelu"):
    """A convolution and GELU: what MobileNetV3 begins with."""

    c_in: Extent
    c_out: Extent
    kernel: Extent
    stride: Stride
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        side = after_stride(self.size, self.stride)
        return (
            Conv(self.c_in, self.c_out, self.kernel**2, 1, self.size, side),
            Pointwise("gelu", self.c_out, side),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        side = after_stride(self.size, self.stride)
        return BYTES_PER_ELEMENT * (self.c_in * self.size**2 + self.c_out * side**2)


class Inverted(CountedUnit, frozen=True, tag="inverted"):
    """MobileNetV3's block: 1x1 to `hidden`, depthwise, SE on `hidden`, 1x1 back.

    GELU stands behind the first 1x1 and behind SE; the first 1x1 is left out where it would keep the
    width, and what came in is added where neither width nor size changes.
    """

    c_in: Extent
    hidden: Extent
    c_out: Extent
    se: ExtentOrNone
    kernel: Extent
    stride: Stride
    size: Extent

    @property
    def expands(self) -> bool:
        """Whether it begins with a 1x1 convolution."""
        return self.hidden != self.c_in

    @property
    def residual(self) -> bool:
        """Whether what came in is added in the end."""
        return self.stride == 1 and self.c_in == self.c_out

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        side = after_stride(self.size, self.stride)
        first = (
            Conv(self.c_in, self.hidden, 1, 1, self.size, self.size),
            Pointwise("gelu", self.hidden, self.size),
        )
        return (
            *(first if self.expands else ()),
            Conv(self.hidden, self.hidden, self.kernel**2, self.hidden, self.size, side),
            *(se_operations(self.hidden, self.se, side) if self.se else ()),
            Pointwise("gelu", self.hidden, side),
            Conv(self.hidden, self.c_out, 1, 1, side, side),
            *((Pointwise("add", self.c_out, side),) if self.residual else ()),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        large, small = self.size**2, after_stride(self.size, self.stride) ** 2
        arrived, middle = self.c_in * large, self.hidden * small
        kept = arrived if self.residual else 0
        if self.expands:
            wide = self.hidden * large
            most = max(arrived + wide, kept + wide + middle)
        else:
            most = arrived + middle
        return BYTES_PER_ELEMENT * max(most, kept + middle + self.c_out * small)


class Separated(CountedUnit, frozen=True, tag="separated"):
    """RepViT's block where it changes width or size: depthwise, SE, and an FFN without a residual."""

    c_in: Extent
    hidden: Extent
    c_out: Extent
    se: ExtentOrNone
    kernel: Extent
    stride: Stride
    size: Extent

    def __post_init__(self) -> None:
        """Check that it is not a block, whose residual it lacks."""
        if self.stride == 1 and self.c_in == self.c_out:
            raise ValueError(
                f"a separated unit changes width or size; got {self.c_in} channels at stride 1 twice"
            )

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        side = after_stride(self.size, self.stride)
        return (
            Conv(self.c_in, self.c_in, self.kernel**2, self.c_in, self.size, side),
            *(se_operations(self.c_in, self.se, side) if self.se else ()),
            Conv(self.c_in, self.hidden, 1, 1, side, side),
            Pointwise("gelu", self.hidden, side),
            Conv(self.hidden, self.c_out, 1, 1, side, side),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        small = after_stride(self.size, self.stride) ** 2
        mixed, wide = self.c_in * small, self.hidden * small
        return BYTES_PER_ELEMENT * max(
            self.c_in * self.size**2 + mixed, wide + max(mixed, self.c_out * small)
        )


class GatedDownsample(CountedUnit, frozen=True, tag="gated-downsample"):
    """A downsample with SE of `se` bottleneck channels between its two convolutions."""

    c_in: Extent
    c_out: Extent
    se: Extent
    kernel: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        half = halved(self.size)
        return (
            Conv(self.c_in, self.c_in, self.kernel**2, self.c_in, self.size, half),
            *se_operations(self.c_in, self.se, half),
            Conv(self.c_in, self.c_out, 1, 1, half, half),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        half = halved(self.size) ** 2
        other = max(self.c_in * self.size**2, self.c_out * half)
        return BYTES_PER_ELEMENT * (self.c_in * half + other)


class WideHead(CountedUnit, frozen=True, tag="wide-head"):
    """MobileNetV3's head: 1x1 to `middle` and GELU, the mean, a linear layer and GELU, a linear layer."""

    width: Extent
    middle: Extent
    hidden: Extent
    classes: Extent
    size: Extent

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The fused unit's operations in order."""
        return (
            Conv(self.width, self.middle, 1, 1, self.size, self.size),
            Pointwise("gelu", self.middle, self.size),
            Pool(self.middle, self.size),
            Conv(self.middle, self.hidden, 1, 1, 1, 1),
            Conv(self.hidden, self.classes, 1, 1, 1, 1),
        )

    @property
    def peak_bytes(self) -> int:
        """Bytes of the activations alive at the worst moment, in fp16."""
        arrived, wide = self.width * self.size**2, self.middle * self.size**2
        last = self.hidden + max(self.middle, self.classes)
        return BYTES_PER_ELEMENT * max(wide + max(arrived, self.middle), last)


PathUnit = ConvGelu | Inverted | Separated | GatedDownsample | WideHead
