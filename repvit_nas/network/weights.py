"""Weights of other origins: the official checkpoints' key names."""

import re
from collections.abc import Mapping
from typing import Any, Final

import torch

from repvit_nas.architecture import DEEP, Architecture

State = dict[str, torch.Tensor]
# The same, to be read only.
Weights = Mapping[str, torch.Tensor]

# Parts of a block in the official code, and what they are called here (and in timm).
_BLOCK: Final = (
    ("token_mixer.0.", "token_mixer."),
    ("token_mixer.1.", "se."),
    ("channel_mixer.m.0.", "channel_mixer.conv1."),
    ("channel_mixer.m.2.", "channel_mixer.conv2."),
)
_DOWNSAMPLE: Final = (
    ("token_mixer.0.", "spatial_downsample."),
    ("token_mixer.2.", "channel_downsample."),
    ("channel_mixer.m.0.", "ffn.conv1."),
    ("channel_mixer.m.2.", "ffn.conv2."),
)
_STEM: Final = (("0.", "conv1."), ("2.", "conv2."))
_HEAD: Final = (
    ("classifier.classifier_dist.", "head.head_dist."),
    ("classifier.classifier.", "head.head."),
)

# What checkpoints of SAM call the encoder, and the two parts beside it that make masks.
_ENCODER: Final = "image_encoder."
DECODER: Final = ("prompt_encoder.", "mask_decoder.")


def is_official(state: Mapping[str, Any]) -> bool:
    """Tell whether a state dict has the official code's key names (`features.N...`)."""
    return any(re.match(rf"({re.escape(_ENCODER)})?features\.\d+\.", key) for key in state)


def from_official(state: Mapping[str, torch.Tensor], architecture: Architecture) -> State:
    """Rename the keys of an official checkpoint to those of timm and of this package.

    The official code lists the blocks of all stages in one row: the stem, then for each stage its
    blocks, where the last block before a downsample is the pre-block of that downsample.

    Args:
        state: The checkpoint, or its entry `model`.
        architecture: The network it is of.

    Returns:
        The same tensors, of RepViT-SAM those of the encoder alone; a key without a counterpart keeps
        its name, so that whoever loads the state dict treats it as any other that is too many.
    """
    places = _places(architecture)
    return {
        _renamed(key.removeprefix(_ENCODER), places): value
        for key, value in state.items()
        if not key.startswith(DECODER)
    }


def unwrapped(checkpoint: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
    """Return the state dict inside a training checkpoint, or the state dict itself."""
    for name in ("model", "state_dict"):
        if isinstance(checkpoint.get(name), Mapping):
            return checkpoint[name]  # type: ignore[no-any-return]
    return checkpoint


def _places(architecture: Architecture) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return for each entry of `features` where it is here, and the names of its parts."""
    places: list[tuple[str, tuple[tuple[str, str], ...]]] = [("stem.", _STEM)]
    for index, stage in enumerate(architecture.stages):
        if index:
            opening = f"stages.{index}.downsample."
            if stage.downsample == DEEP:
                places.append((f"{opening}pre_block.", _BLOCK))
            places.append((opening, _DOWNSAMPLE))
        places += [(f"stages.{index}.blocks.{number}.", _BLOCK) for number in range(stage.depth)]
    return places


def _renamed(key: str, places: list[tuple[str, tuple[tuple[str, str], ...]]]) -> str:
    for old, new in _HEAD:
        if key.startswith(old):
            return new + key.removeprefix(old)
    match = re.match(r"features\.(\d+)\.(.*)", key)
    if match and int(match[1]) < len(places):
        place, parts = places[int(match[1])]
        for old, new in parts:
            if match[2].startswith(old):
                return place + new + match[2].removeprefix(old)
    return key
