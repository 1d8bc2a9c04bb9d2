"""Units as torch modules of their own, for timing and for checking what was exported.

They are the parts that :class:`repvit_nas.network.model.RepVitNas` is built from, so a chain of
them in the order of a network's rows is that network.
"""

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import torch
from timm.models.repvit import ConvNorm, RepVitMlp, RepVitStem
from torch import nn

from repvit_nas.necks import FusedNeck, Neck, Widen
from repvit_nas.network.fusing import reparameterize
from repvit_nas.network.model import BRANCHED, RepVitBlock, TrainingForm, spatial
from repvit_nas.network.necks import SamNeck
from repvit_nas.network.path_pieces import path_module
from repvit_nas.units import Block, Downsample, Features, Ffn, Foreign, Head, Stem, Unit, ends

UnitWeights = dict[str, npt.NDArray[np.float32]]
# Weights are slices of one pool of normal numbers: drawing millions for every copy takes longer
# than timing them. A prime, so that copies start at different places.
_POOL: Final = 1_299_709
_BIAS_SD: Final = 0.1


class ResidualFfn(nn.Module):
    """The residual FFN behind a downsample."""

    def __init__(self, unit: Ffn) -> None:
        super().__init__()
        self.ffn = RepVitMlp(unit.width, unit.hidden, nn.GELU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run on `(batch, width, size, size)`."""
        return cast("torch.Tensor", self.ffn(x) + x)


class Classifier(nn.Module):
    """Global average pooling and the linear layer."""

    def __init__(self, unit: Head) -> None:
        super().__init__()
        self.linear = nn.Linear(unit.width, unit.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run on `(batch, width, size, size)`; returns `(batch, classes)`."""
        return cast("torch.Tensor", self.linear(x.mean((2, 3))))


class Chain(nn.Module):
    """Units one after the other, some of whose maps are handed back.

    Args:
        parts: The units.
        places: Behind which of them a map is handed back; the last alone makes it an ordinary chain.
    """

    def __init__(self, parts: Sequence[nn.Module], places: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.places = frozenset(places)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the maps, or the one that there is."""
        maps = []
        for place, part in enumerate(self.parts):
            x = part(x)
            if place in self.places:
                maps.append(x)
        return maps[0] if len(maps) == 1 else tuple(maps)


def unit_module(unit: Unit, form: TrainingForm = BRANCHED) -> nn.Module:
    """Return `unit` as a module in training form, with fresh weights.

    Raises:
        TypeError: The unit is not one that a classifier is made of.
    """
    match unit:
        case Stem():
            return cast("nn.Module", RepVitStem(unit.c_in, unit.width, nn.GELU))
        case Block():
            return RepVitBlock(unit, nn.GELU, form)
        case Downsample() | Widen():
            return nn.Sequential(spatial(unit), ConvNorm(unit.c_in, unit.c_out))
        case Ffn():
            return ResidualFfn(unit)
        case Head() | Neck():
            return Classifier(unit) if isinstance(unit, Head) else SamNeck(unit)
        case Features() | Foreign() | FusedNeck():
            raise TypeError(f"{type(unit).__name__} cannot be run on its own")
        case _:
            return path_module(unit, form)


@functools.lru_cache(maxsize=4096)
def _fused_without_weights(unit: Unit) -> nn.Module:
    with torch.device("meta"):
        return reparameterize(unit_module(unit))


def parameter_shapes(unit: Unit) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of a fused unit's parameters by name; no weight is made."""
    state = _fused_without_weights(unit).state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}


def random_weights(unit: Unit, seed: int) -> UnitWeights:
    """Return weights of a fused unit that keep activations near unit variance.

    Weights of zero, or activations that vanish or overflow, would be timed as something else than
    a trained network's. Different seeds give different weights.
    """
    pool = _pool()
    start = (seed * 7919) % _POOL
    weights = {}
    for name, shape in parameter_shapes(unit).items():
        count = int(np.prod(shape))
        values = np.take(pool, np.arange(start, start + count), mode="wrap").reshape(shape)
        start = (start + count) % _POOL
        scale = int(np.prod(shape[1:])) ** -0.5 if len(shape) > 1 else _BIAS_SD
        weights[name] = values * np.float32(scale)
    return weights


@functools.lru_cache(maxsize=1)
def _pool() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(_POOL, dtype=np.float32)


def fused_module(unit: Unit, weights: UnitWeights) -> nn.Module:
    """Return `unit` fused, in evaluation mode, with the weights given."""
    module = copy.deepcopy(_fused_without_weights(unit))
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    module.load_state_dict(state, assign=True)
    return module.eval().requires_grad_(False)  # torch's own signature


def input_shape(unit: Unit) -> tuple[int, int, int]:
    """Return `(channels, height, width)` of what a unit takes.

    Raises:
        TypeError: The unit is not one that a classifier is made of.
    """
    channels, side, _, _ = ends(unit)
    return (channels, side, side)
