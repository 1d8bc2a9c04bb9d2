"""Weights that a Core ML package stores in fewer bits, against those of the network it was made of."""

import copy
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from repvit_nas.conversion.compression import LINEAR_BITS
from repvit_nas.conversion.mil import MilProgram
from repvit_nas.errors import RepvitNasError
from repvit_nas.operations import KEPT_IN_HALF
from repvit_nas.shapes import Floats

# A channel's scale is half precision, and so is what is expanded: in parts of the largest weight; and what
# half precision cannot tell from 0, 127 times.
_ROUNDED: Final = 2.0**-9
_LEAST: Final = 127 * 2.0**-25
_WEIGHTED: Final = ("conv", "linear")


def check_stored(half: MilProgram, stored: MilProgram, bits: int) -> None:
    """Compare a program whose weights have fewer bits with the same one in half precision.

    Each large weight must be what is nearest to it of the values that its tensor, or its channel where
    they are linear, is stored with; all others, and all operations, must be as they were.

    Raises:
        RepvitNasError: They are not.
    """
    if stored.types != half.types:
        raise RepvitNasError(
            f"the Core ML program with weights of {bits} bits has other operations than in half "
            "precision: this coremltools cannot be trusted"
        )
    changed = sum(
        not _is_stored(before.arguments, after.arguments, half, stored, bits)
        for before, after in zip(half.operations, stored.operations, strict=True)
        if before.type in _WEIGHTED
    )
    if changed:
        raise RepvitNasError(
            f"the Core ML program: the weights or biases of {changed} layers are not those of the "
            f"network stored in {bits} bits"
        )


def _is_stored(
    before: dict[str, str], after: dict[str, str], half: MilProgram, stored: MilProgram, bits: int
) -> bool:
    weight, kept = half.weights[before["weight"]], stored.weights[after["weight"]]
    if ("bias" in before) != ("bias" in after):
        return False
    same_bias = "bias" not in before or np.array_equal(
        half.weights[before["bias"]], stored.weights[after["bias"]]
    )
    if weight.size <= KEPT_IN_HALF:
        return same_bias and after["weight"] not in stored.bits and np.array_equal(weight, kept)
    if stored.bits.get(after["weight"]) != bits or weight.shape != kept.shape:
        return False
    rows = len(weight) if bits == LINEAR_BITS else 1
    pairs = zip(_rows(weight, rows), _rows(kept, rows), strict=True)
    return same_bias and all(_nearest(one, other, bits) for one, other in pairs)


def _rows(values: npt.NDArray[np.float16], rows: int) -> Floats:
    return values.astype(np.float64).reshape(rows, -1)


def _nearest(values: Floats, found: Floats, bits: int) -> bool:
    """Tell whether each of `found` is the nearest to its value of all that are found, `(n,)` both."""
    levels = np.unique(found)
    if len(levels) > 1 << bits:
        return False
    above = np.searchsorted(levels, values).clip(1, max(len(levels) - 1, 1))
    either = levels[np.minimum(np.stack([above - 1, above]), len(levels) - 1)]
    best = np.abs(either - values).min(axis=0)
    slack = _ROUNDED * np.abs(values).max() + _LEAST
    return bool((np.abs(found - values) <= best + slack).all())


def holding(fused: nn.Module, half: MilProgram, stored: MilProgram) -> nn.Module:
    """Return the fused network with the weights that a program stores.

    Args:
        fused: The fused network.
        half: Its program in half precision.
        stored: The same program, some weights of which have fewer bits.
    """
    kept = {
        half_bytes(half.weights[before.arguments["weight"]]): stored.weights[
            after.arguments["weight"]
        ]
        for before, after in zip(half.operations, stored.operations, strict=True)
        if before.type in _WEIGHTED
    }
    made = copy.deepcopy(fused)
    with torch.no_grad():
        for layer in made.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                values = kept[half_bytes(layer.weight.detach().numpy())]
                layer.weight.copy_(torch.from_numpy(values.astype(np.float32)))
    return made


def half_bytes(values: npt.NDArray[Any]) -> tuple[tuple[int, ...], bytes]:
    """Return what two arrays share only if they are equal in half precision."""
    return values.shape, values.astype(np.float16).tobytes()
