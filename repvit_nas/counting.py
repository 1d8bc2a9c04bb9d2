"""Room: what every unit of a network can count of itself, and the operations that several share."""

import msgspec

from repvit_nas.operations import BYTES_PER_ELEMENT, Conv, Operation, Pointwise, Pool

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


class CountedUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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


def ffn_operations(width: int, hidden: int, size: int) -> tuple[Operation, ...]:
    """List a residual FFN."""
    return (
        Conv(width, hidden, 1, 1, size, size),
        Pointwise("gelu", hidden, size),
        Conv(hidden, width, 1, 1, size, size),
        Pointwise("add", width, size),
    )


def se_operations(width: int, bottleneck: int, size: int) -> tuple[Operation, ...]:
    """List SE: its pooling, its two linear layers, and the gate on `width` channels."""
    return (
        Pool(width, size),
        Conv(width, bottleneck, 1, 1, 1, 1),
        Conv(bottleneck, width, 1, 1, 1, 1),
        Pointwise("scale", width, size),
    )
