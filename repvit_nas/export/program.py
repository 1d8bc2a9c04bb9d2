"""What all Core ML packages of a network share: preprocessing, and that the weights are the network's."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from repvit_nas.errors import RepvitNasError

# What Core ML may be made of besides the operations of a fused network.
_OPERATIONS: Final = frozenset(
    (
        *("conv", "gelu", "add", "reduce_mean", "relu", "sigmoid", "mul", "linear"),
        *("cast", "batch_norm", "softmax", "classify"),
        *("transpose", "layer_norm", "upsample_bilinear", "less", "slice_by_index"),
    )
)

_LEAST_NORMAL: Final = 2.0**-14


class Preparation(nn.Module):
    """What makes a network's input of pictures.

    Args:
        mean: What is taken from each channel, from 0 to 1.
        std: What each channel is divided by then.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", (1 / (255 * std)).view(1, -1, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, -1, 1, 1))

    @classmethod
    def of(cls, model: Any) -> "Preparation":
        """Return how a network's images are prepared."""
        mean, std = (torch.tensor(model.pretrained_cfg[name]) for name in ("mean", "std"))
        return cls(mean, std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return prepared images of pictures whose channels go from 0 to 255."""
        return x * self.scale + self.shift

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pictures that prepared images come from, in whole numbers from 0 to 255."""
        return ((images - self.shift) / self.scale).round().clamp(0, 255)


def package_bytes(package: Path) -> int:
    """Return the bytes of a package's files."""
    return sum(path.stat().st_size for path in package.rglob("*") if path.is_file())


def check_program(program: Any, fused: nn.Module, operations: Mapping[str, int]) -> None:
    """Compare a program's operations and weights with the fused network's.

    Raises:
        RepvitNasError: It has other operations, or a weight that is not the rounded original.
    """
    strange = sorted(set(operations) - _OPERATIONS)
    if strange:
        raise RepvitNasError(
            f"the Core ML program holds the operation {strange[0]!r}, which is not ours"
        )
    ours = [layer for layer in fused.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    count = operations.get("conv", 0) + operations.get("linear", 0)
    if count != len(ours):
        raise RepvitNasError(
            f"the Core ML program has {count} convolutions and linear layers, the network {len(ours)}"
        )
    expected = Counter(_half_bytes(layer.weight.detach().numpy()) for layer in ours)
    found = Counter(
        _half_bytes(program.weights[operation.arguments["weight"]])
        for operation in program.operations
        if operation.type in {"conv", "linear"}
    )
    if expected != found:
        changed = sum((expected - found).values())
        raise RepvitNasError(
            f"the Core ML program: the weights of {changed} of {len(ours)} layers are not those of the "
            "network rounded to half precision"
        )
    biases = {_half_bytes(layer.weight.detach().numpy()): layer.bias for layer in ours}
    changed = sum(
        not _same_bias(program, operation, biases)
        for operation in program.operations
        if operation.type in {"conv", "linear"}
    )
    if changed:
        raise RepvitNasError(
            f"the Core ML program: the biases of {changed} of {len(ours)} layers are not those of "
            "the network rounded to half precision"
        )


def _same_bias(program: Any, operation: Any, biases: Mapping[Any, torch.Tensor | None]) -> bool:
    """Tell whether an operation's bias is that of the layer with the same weights."""
    bias = biases[_half_bytes(program.weights[operation.arguments["weight"]])]
    stored = program.weights.get(operation.arguments.get("bias", ""))
    if bias is None or stored is None:
        return (bias is None) == (stored is None)
    rounded = bias.detach().numpy().astype(np.float16).astype(np.float32)
    # The converter writes zeros for what half precision has no normal number for.
    return bool(np.abs(stored.astype(np.float32) - rounded).max() <= _LEAST_NORMAL)


def _half_bytes(values: npt.NDArray[Any]) -> tuple[tuple[int, ...], bytes]:
    return values.shape, values.astype(np.float16).tobytes()
