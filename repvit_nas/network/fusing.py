"""Reparameterisation: from the branches that train to the convolutions that run."""

import copy
from typing import Protocol, TypeVar, runtime_checkable

import torch
from timm.models.repvit import RepVggDw
from torch import nn

from repvit_nas.network.model import fuse_branches

Network = TypeVar("Network", bound=nn.Module)


@runtime_checkable
class _Fusible(Protocol):
    def fuse(self) -> nn.Module:
        """Return the fused module."""


@torch.no_grad()
def reparameterize(model: Network) -> Network:
    """Return a copy of `model` in evaluation mode with all branches and batch norms fused.

    The copy computes the same function as `model.eval()` up to rounding; the parameters of its
    convolutions are those that the closed-form counts speak of. A fused model is copied unchanged.

    Args:
        model: A RepViT network, or any model whose parts know how to `fuse()`, such as timm's.
    """
    fused = copy.deepcopy(model).eval()
    _fuse_children(fused)
    return fused


def _fuse_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, RepVggDw | _Fusible):
            dtype = next(child.parameters(), torch.empty(0)).dtype
            # timm's own fusion of token mixers is wrong beyond kernel 3.
            child.double()  # the sums of a fusion are rounded once
            fused = fuse_branches(child) if isinstance(child, RepVggDw) else child.fuse()
            setattr(module, name, fused.to(dtype).eval())
        else:
            _fuse_children(child)
