"""Weights of a network with branches for one without, and back: the same function in either form.

With branches, a token mixer in training is `norm(conv(x) + conv1(x) + x)`, `conv` with a batch norm of its
own; without, it is a depthwise convolution with its batch norm. Both fuse into one convolution. Statistics
of the batch norms are carried over such that they are those of what arrives there: taken anew on images,
they are the same.
"""

from collections.abc import Mapping
from typing import Final

import torch

from repvit_nas.errors import RepvitNasError
from repvit_nas.network.weights import State

_MIXER: Final = "token_mixer."
_BRANCHED: Final = f"{_MIXER}conv.c.weight"
_PLAIN: Final = f"{_MIXER}c.weight"
_OLDER: Final = f"{_MIXER}conv1.c.weight"
_EPS: Final = 1e-5


def in_form(state: Mapping[str, torch.Tensor], *, branches: bool, legacy: bool = False) -> State:
    """Return a network's weights in training form, with branches or without.

    Args:
        state: Its weights, in either form.
        branches: Which form is wanted.
        legacy: Whether the branches wanted are of the older form.

    Raises:
        RepvitNasError: Weights with branches of the older form are wanted without, or the other way
            round: there, each branch has a batch norm of its own, whose statistics nothing tells.
    """
    ends = _PLAIN if branches else _BRANCHED
    places = [key.removesuffix(ends) + _MIXER for key in state if key.endswith(ends)]
    if not places:
        return dict(state)
    older = any(key.endswith(_OLDER) for key in state)
    if (branches and legacy) or older:
        raise RepvitNasError(
            "weights of the older form of the branches (repvit_m1 to repvit_m3) are not carried over to a "
            "network without branches, nor back: start from another reference, or at random"
        )
    found = dict(state)
    for place in places:
        own = {key: found.pop(key) for key in state if key.startswith(place)}
        mixer = {key.removeprefix(place): value for key, value in own.items()}
        made = _with_branches(mixer) if branches else _without(mixer)
        found |= {place + key: value for key, value in made.items()}
    return found


def _without(mixer: Mapping[str, torch.Tensor]) -> State:
    """Merge the branches before their common batch norm, which is the only one then."""
    scale = mixer["conv.bn.weight"] / (mixer["conv.bn.running_var"] + _EPS).sqrt()
    shift = mixer["conv.bn.bias"] - mixer["conv.bn.running_mean"] * scale + mixer["conv1.bias"]
    weight = mixer["conv.c.weight"] * scale[:, None, None, None]
    centre = weight.shape[-1] // 2
    weight[:, :, centre, centre] += mixer["conv1.weight"][:, :, 0, 0] + 1
    norm = {key: value for key, value in mixer.items() if key.startswith("bn.")}
    return {
        "c.weight": weight,
        **norm,
        # A batch norm takes off whatever is added before it.
        "bn.running_mean": mixer["bn.running_mean"] - shift,
    }


def _with_branches(mixer: Mapping[str, torch.Tensor]) -> State:
    """Let the 1x1 branch take off the identity, and the common batch norm put back what it divides by."""
    weight, bias = mixer["bn.weight"], mixer["bn.bias"]
    variance = mixer["bn.running_var"]
    behind = weight.square() * variance / (variance + _EPS)
    counted = {key: value for key, value in mixer.items() if key.endswith("num_batches_tracked")}
    return {
        **{f"conv.{key}": value for key, value in mixer.items()},
        "conv1.weight": torch.full_like(mixer["c.weight"][:, :, :1, :1], -1),
        "conv1.bias": torch.zeros_like(bias),
        "bn.weight": (behind + _EPS).sqrt(),
        "bn.bias": bias,
        "bn.running_mean": bias,
        "bn.running_var": behind,
        **counted,
    }
