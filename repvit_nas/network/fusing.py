"""Reparameterisation: from the branches that train to the convolutions that run."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from timm.models.repvit import RepVggDw
from torch import nn
from torch.overrides import TorchFunctionMode

from repvit_nas.network.model import fuse_branches

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@runtime_checkable
class _Fusible(Protocol):
    def fuse(self) -> nn.Module:
        """Return the fused module."""


class _InDouble(TorchFunctionMode):
    """Within it, and in this thread alone, a layer is made in double precision."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function of torch; what makes an empty tensor of no stated type makes it double."""
        given = dict(kwargs or {})
        if func is torch.empty and given.get("dtype") is None:
            given["dtype"] = torch.float64
        return func(*args, **given)


@torch.no_grad()
def reparameterize(model: ModuleT) -> ModuleT:
    """Return a copy of `model` in evaluation mode with all branches and batch norms fused.

    The copy computes the same function as `model.eval()` up to rounding; the parameters of its
    convolutions are those that the closed-form counts speak of. A fused model is copied unchanged.
    Fused in double precision, each weight is rounded once, to the model's own precision; the copy of a
    model in double precision is not rounded at all.

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
            child.double()
            with _InDouble():  # timm's fusions make layers in single precision
                fused = fuse_branches(child) if isinstance(child, RepVggDw) else child.fuse()
            setattr(module, name, fused.to(dtype).eval())
        else:
            _fuse_children(child)
