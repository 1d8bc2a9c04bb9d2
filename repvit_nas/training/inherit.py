"""Inherited weights: a network starts from another one, of other widths and depths.

Blocks are mapped by their relative depth in a stage, and channels are taken in the order of their
importance, which is the size of the batch norm's scale times the norm of the weights that it scales.
A channel of the residual stream of a stage is the same channel in every block of the stage, so one
choice is made for all of them; the hidden channels of an FFN and of SE are chosen block by block.
Where the new network is wider than the old one, channels beyond the old ones keep their random
weights. In the end the statistics of the batch norms are taken anew on a few batches: those of the
old network are of other channels.
"""

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch import nn

from repvit_nas.network.branches import in_form
from repvit_nas.network.weights import Weights
from repvit_nas.training.recipe import Recipe

if TYPE_CHECKING:
    from repvit_nas.training.data import Images

Channels = torch.Tensor
# Batches for the new statistics of batch norms.
CALIBRATION_IMAGES: Final = 1024
# Channels of the image are never chosen.
_IMAGE: Final = 3


class Piece(NamedTuple):
    """A part of the old network that becomes a part of the new one.

    Attributes:
        old: The old module's name with a final dot.
        new: The new module's name with a final dot.
        stream_in: Which old channels of the residual stream arrive.
        stream_out: Which old channels of the residual stream leave.
    """

    old: str
    new: str
    stream_in: Channels
    stream_out: Channels


class Inherited(NamedTuple):
    """What was taken over.

    Attributes:
        taken: Parameters of the new network that have an old value.
        total: Parameters of the new network.
    """

    taken: int
    total: int


@torch.no_grad()
def inherit(old: nn.Module, new: nn.Module) -> Inherited:
    """Give `new` the weights of `old` where it has room for them, in place.

    Args:
        old: A RepViT network in training form.
        new: Another one, of any architecture.

    Raises:
        RepvitNasError: One of them has branches of the older form and the other none.
    """
    form: Any = new
    source = in_form(old.state_dict(), branches=form.branches, legacy=form.legacy)
    target = new.state_dict()
    taken = 0
    pieces = list(_pieces(old, new, source, target))
    for piece in pieces:
        if piece.new.endswith("pre_block.") and not any(
            key.startswith(piece.old) for key in source
        ):
            _pass_on(target, piece.new)
    for piece in pieces:
        taken += _copy_piece(source, target, piece)
    new.load_state_dict(target)
    total = sum(parameter.numel() for parameter in new.parameters())
    return Inherited(taken, total)


def _pieces(old: Any, new: Any, source: Weights, target: Weights) -> list[Piece]:
    """Return which part becomes which, and which channels of the streams each sees."""
    kept = [
        _chosen(_stream_importance(source, stage), new.embed_dim[stage])
        for stage in range(len(new.embed_dim))
    ]
    half = target["stem.conv1.bn.weight"].shape[0]
    middle = _chosen(_importance(source, "stem.conv1."), half)
    found = [
        Piece("stem.conv1.", "stem.conv1.", torch.arange(_IMAGE), middle),
        Piece("stem.conv2.", "stem.conv2.", middle, kept[0]),
    ]
    for stage, (theirs, ours) in enumerate(zip(old.stages, new.stages, strict=True)):
        stream = kept[stage]
        opening = f"stages.{stage}.downsample."
        if stage:
            before = kept[stage - 1]
            found += [
                Piece(f"{opening}pre_block.", f"{opening}pre_block.", before, before),
                Piece(f"{opening}spatial_", f"{opening}spatial_", before, before),
                Piece(f"{opening}channel_", f"{opening}channel_", before, stream),
                Piece(f"{opening}ffn.", f"{opening}ffn.", stream, stream),
            ]
        for number, origin in enumerate(mapped(theirs.blocks, ours.blocks)):
            blocks = f"stages.{stage}.blocks."
            found.append(Piece(f"{blocks}{origin}.", f"{blocks}{number}.", stream, stream))
    if _head_fits(source, target):
        classes = torch.arange(target["head.head.l.bias"].shape[0])
        found += [
            Piece(f"head.{head}.", f"head.{head}.", kept[-1], classes)
            for head in ("head", "head_dist")
            if f"head.{head}.l.bias" in source and f"head.{head}.l.bias" in target
        ]
    return found


def _pass_on(target: Weights, block: str) -> None:
    """Let a block that the old network has none for begin as what hands on what it takes.

    Its FFN begins so by itself; a batch norm behind scales each channel, which the one behind the
    depthwise convolution that follows takes off again.
    """
    mixer = f"{block}token_mixer."
    for key in [key for key in target if key.startswith(mixer)]:
        name = key.removeprefix(mixer)
        if name == "c.weight":
            target[key].zero_()
            middle = target[key].shape[-1] // 2
            target[key][:, :, middle, middle] = 1
        elif name in ("conv.bn.weight", "conv1.weight", "conv1.bias", "conv1.bn.weight"):
            target[key].zero_()


def _head_fits(source: Weights, target: Weights) -> bool:
    key = "head.head.l.bias"
    return key in source and key in target and source[key].shape == target[key].shape


def mapped(old: Sequence[Any], new: Sequence[Any]) -> list[int]:
    """Return for each new block the old block at the same relative depth.

    Among the old blocks that are about as deep, one with SE is preferred for a block with SE.
    """
    places = []
    for number, block in enumerate(new):
        exact = (number + 0.5) * len(old) / len(new) - 0.5
        nearest = min(
            range(len(old)),
            key=lambda origin: (
                abs(origin - exact) + 1.01 * (_has_se(old[origin]) != _has_se(block)),
                origin,
            ),
        )
        places.append(nearest)
    return places


def _has_se(block: Any) -> bool:
    return not isinstance(block.se, nn.Identity)


def _importance(source: Weights, name: str) -> torch.Tensor:
    """Return how much each output channel of a convolution with its batch norm can matter."""
    weight: torch.Tensor = source[f"{name}c.weight"].flatten(1).norm(dim=1)
    scale = source[f"{name}bn.weight"].abs() / (source[f"{name}bn.running_var"] + 1e-5).sqrt()
    return weight * scale


def _stream_importance(source: Weights, stage: int) -> torch.Tensor:
    """Return how much each channel of a stage's residual stream matters: what is written to it."""
    writers = [
        key.removesuffix("c.weight")
        for key in source
        if key.endswith(("conv2.c.weight", "channel_downsample.c.weight"))
        and (
            (key.startswith(f"stages.{stage}.") and "pre_block" not in key)
            or (stage == 0 and key.startswith("stem.conv2."))
            or key.startswith(f"stages.{stage + 1}.downsample.pre_block.")
        )
    ]
    total = torch.stack([_importance(source, name) for name in writers]).square().sum(0)
    return total.sqrt()


def _chosen(importance: torch.Tensor, count: int) -> Channels:
    """Return the `count` most important channels, in their old order; -1 where there are no more."""
    kept = importance.argsort(descending=True, stable=True)[:count].sort().values
    missing = torch.full((count - len(kept),), -1, dtype=kept.dtype)
    return torch.cat([kept, missing])


def _copy_piece(source: Weights, target: Weights, piece: Piece) -> int:
    """Copy all tensors of a piece; returns how many parameters have an old value now."""
    hidden = {
        inner: _chosen(importance, target[f"{piece.new}{inner}.weight"].shape[0])
        for inner, importance in _inner_importances(source, piece.old)
        if f"{piece.new}{inner}.weight" in target
    }
    taken = 0
    for key in [key for key in target if key.startswith(piece.new)]:
        name = key.removeprefix(piece.new)
        old = source.get(piece.old + name)
        if old is None or not target[key].dim():
            continue
        taken += _copy(old, target[key], *_axes(name, old, piece, hidden), key=key)
    return taken


def _inner_importances(source: Weights, name: str) -> list[tuple[str, torch.Tensor]]:
    """Return the layers of a piece whose outputs are its own: FFN's first and SE's first."""
    found = []
    for key in source:
        if not key.startswith(name):
            continue
        if key.endswith("conv1.c.weight") and ("channel_mixer" in key or "ffn" in key):
            layer = key.removesuffix("c.weight")
            found.append((f"{layer.removeprefix(name)}c", _importance(source, layer)))
        elif key.endswith("se.fc1.weight"):
            layer = key.removesuffix(".weight")
            found.append((layer.removeprefix(name), source[key].flatten(1).norm(dim=1)))
    return found


def _axes(
    name: str, old: torch.Tensor, piece: Piece, hidden: Mapping[str, Channels]
) -> tuple[Channels, Channels | None]:
    """Return which old channels are the rows, and which the columns, of a tensor of a piece."""
    rows, columns = piece.stream_out, piece.stream_in
    for inner, own in hidden.items():
        layer = inner.removesuffix("c") if inner.endswith(".c") else f"{inner}."
        following = layer.replace("conv1", "conv2").replace("fc1", "fc2")
        if name.startswith(layer):
            rows = own
        elif name.startswith(following):
            columns = own
    if name.startswith("bn.") and piece.new.startswith("head."):
        rows = piece.stream_in  # a head's batch norm comes before its linear layer
    depthwise = old.dim() == 4 and old.shape[1] == 1
    return rows, None if old.dim() < 2 or depthwise else columns


def _copy(
    old: torch.Tensor, new: torch.Tensor, rows: Channels, columns: Channels | None, *, key: str
) -> int:
    """Copy the chosen channels of `old` into `new`; returns how many parameters that are."""
    if old.dim() == 4:
        old = _to_kernel(old, new.shape[-1])
    to_rows = (rows >= 0).nonzero().flatten()
    values = old[rows[to_rows]]
    if columns is None:
        new[to_rows] = values
    else:
        to_columns = (columns >= 0).nonzero().flatten()
        new[to_rows[:, None], to_columns[None]] = values[:, columns[to_columns]]
        values = values[:, columns[to_columns]]
        # What arrives from channels without an old value must not drown what does.
        absent = (columns < 0).nonzero().flatten()
        new[to_rows[:, None], absent[None]] = 0
    return 0 if "running" in key else values.numel()


def _to_kernel(weight: torch.Tensor, side: int) -> torch.Tensor:
    """Return a convolution of another kernel: cut around the middle, or set into zeros."""
    by = (side - weight.shape[-1]) // 2
    return nn.functional.pad(weight, (by, by, by, by))


@torch.no_grad()
def recalibrate(
    model: nn.Module,
    images: "Images",
    recipe: Recipe,
    resolution: int,
    *,
    seed: int,
    flip: bool = True,
    most: int = CALIBRATION_IMAGES,
) -> None:
    """Take the statistics of all batch norms anew, as plain means over a few batches.

    Args:
        model: The network; it is left in training mode.
        images: What to take them on.
        recipe: How these are prepared.
        resolution: Side of the input in pixels.
        seed: Which of them.
        flip: Whether a mirrored image is of the same class.
        most: How many images at most, rounded up to whole batches.
    """
    from repvit_nas.training.loading import World, train_batches

    images = copy.copy(images)  # the loader sets how they are prepared

    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    loader, order = train_batches(
        images,
        recipe,
        resolution,
        seed=seed,
        world=World(),
        device=torch.device("cpu"),
        workers=0,
        flip=flip,
    )
    order.go_to(0, 0)
    model.train()
    for taken, _ in itertools.islice(loader, math.ceil(most / recipe.batch)):
        model(taken)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
