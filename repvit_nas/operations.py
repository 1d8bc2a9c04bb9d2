"""The primitive operations that units are made of, as the runtime sees them after fusion.

Activations and weights are counted at two bytes an element (fp16, what Core ML runs on the
Neural Engine). Elementwise operations count no multiply-accumulates, as is usual.
"""

from typing import Final

import msgspec

from repvit_nas.errors import RepvitNasError
from repvit_nas.quantities import Extent

BYTES_PER_ELEMENT = 2
# What a weight of a Core ML package may be stored in: half precision, or fewer bits on iOS 16.
HALF: Final = 16
WEIGHT_BITS: Final = (HALF, 8, 6, 4)
# Weights of so few elements stay in half precision, as coremltools leaves them.
KEPT_IN_HALF: Final = 2048


def checked_bits(bits: int) -> int:
    """Return the bits of a stored weight.

    Raises:
        RepvitNasError: Core ML on iOS 16 takes no weights of so many, or nobody needs them.
    """
    if bits not in WEIGHT_BITS or isinstance(bits, bool):
        raise RepvitNasError(
            f"--weights must be 8, 6 or 4 bits, or {HALF} for half precision; got {bits!r}: Core ML on "
            "iOS 16 has palettes of 1, 2, 4, 6 and 8 bits and linear ones of 8, and below 4 a network "
            "of this kind is none any more"
        )
    return bits


def stored_bytes(weights: int, bits: int = HALF) -> float:
    """Return the bytes of an operation's weights in a package of `bits` a weight."""
    return weights * (BYTES_PER_ELEMENT if weights <= KEPT_IN_HALF else bits / 8)


class Conv(msgspec.Struct, frozen=True, tag="conv", forbid_unknown_fields=True, omit_defaults=True):
    """A convolution, or a linear layer (`size_in` 1, `taps` 1).

    Attributes:
        c_in: Input channels.
        c_out: Output channels.
        taps: Kernel positions (9 for a 3x3 kernel, 11 for 1x11).
        groups: Channel groups; `c_in` of them is depthwise.
        size_in: Height and width of the input.
        size_out: Height and width of the output.
        bias: Whether it adds a bias, as all do that had a batch norm behind them.
    """

    c_in: Extent
    c_out: Extent
    taps: Extent
    groups: Extent
    size_in: Extent
    size_out: Extent
    bias: bool = True

    @property
    def weights(self) -> int:
        """Weights without the bias."""
        return self.c_in // self.groups * self.c_out * self.taps

    @property
    def params(self) -> int:
        """Weights and biases."""
        return self.weights + (self.c_out if self.bias else 0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return self.weights * self.size_out**2

    @property
    def elements_in(self) -> int:
        """Elements read."""
        return self.c_in * self.size_in**2

    @property
    def elements_out(self) -> int:
        """Elements written."""
        return self.c_out * self.size_out**2


class Pointwise(msgspec.Struct, frozen=True, tag="pointwise", forbid_unknown_fields=True):
    """An operation on every element: `gelu`, `relu`, `add` (two inputs) or `scale` (SE's gate)."""

    function: str
    channels: Extent
    size: Extent

    macs = 0
    params = 0
    weights = 0

    @property
    def elements_in(self) -> int:
        """Elements read."""
        both = 2 if self.function == "add" else 1
        gate = self.channels if self.function == "scale" else 0
        return both * self.channels * self.size**2 + gate

    @property
    def elements_out(self) -> int:
        """Elements written."""
        return self.channels * self.size**2


class _OnMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What reads a map, without weights, and writes one as large where it does not say otherwise."""

    channels: Extent
    size: Extent

    macs = 0
    weights = 0

    @property
    def params(self) -> int:
        """Weights and biases."""
        return 0

    @property
    def elements_in(self) -> int:
        """Elements read."""
        return self.channels * self.size**2

    @property
    def elements_out(self) -> int:
        """Elements written."""
        return self.elements_in


class Pool(_OnMap, frozen=True, tag="pool"):
    """The mean over a whole feature map."""

    @property
    def elements_out(self) -> int:
        """Elements written."""
        return self.channels


class Output(_OnMap, frozen=True, tag="output"):
    """A feature map handed back to the caller, beyond a classifier's logits."""


class Norm(_OnMap, frozen=True, tag="norm"):
    """A layer norm over the channels of each pixel, which no convolution can take up."""

    @property
    def params(self) -> int:
        """Scale and shift of each channel."""
        return 2 * self.channels


class Resize(msgspec.Struct, frozen=True, tag="resize", forbid_unknown_fields=True):
    """A bilinear change of a map's side."""

    channels: Extent
    size_in: Extent
    size_out: Extent

    macs = 0
    params = 0
    weights = 0

    @property
    def elements_in(self) -> int:
        """Elements read."""
        return self.channels * self.size_in**2

    @property
    def elements_out(self) -> int:
        """Elements written."""
        return self.channels * self.size_out**2


Operation = Conv | Pointwise | Pool | Output | Norm | Resize
