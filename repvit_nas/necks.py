"""Room: the units that SAM's encoders have beside a classifier's: a downsample without stride, and necks."""

from repvit_nas.architecture import SAM_CHANNELS
from repvit_nas.counting import CountedUnit, halved
from repvit_nas.operations import (
    BYTES_PER_ELEMENT,
    Conv,
    Norm,
    Operation,
    Output,
    Pointwise,
    Resize,
)
from repvit_nas.quantities import Extent


class Widen(CountedUnit, frozen=True, tag="widen"):
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


class Neck(CountedUnit, frozen=True, tag="neck"):
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


class FusedNeck(CountedUnit, frozen=True, tag="fused-neck"):
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


def _unbiased(c_in: int, c_out: int, taps: int, size: int) -> Conv:
    return Conv(c_in, c_out, taps, 1, size, size, bias=False)


def _neck_operations(channels: int, size: int) -> tuple[Operation, ...]:
    return (
        Norm(channels, size),
        _unbiased(channels, channels, 9, size),
        Norm(channels, size),
        Output(channels, size),
    )
