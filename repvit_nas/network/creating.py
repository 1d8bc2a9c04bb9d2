"""An architecture becomes a torch module."""

from typing import Any

import torch

from repvit_nas.units import Network


def create(architecture: Network, *, pretrained: bool = False, **kwargs: Any) -> torch.nn.Module:
    """Return the network of an architecture in training form and evaluation mode.

    Args:
        architecture: The architecture, or a network told by its units.
        pretrained: Load timm's published weights; only reference networks have them.
        **kwargs: What timm's `create_model` takes, such as `num_classes` and `features_only`.

    Raises:
        RepvitNasError: There are no published weights of this architecture.
    """
    import timm  # which registers our entry, see repvit_nas/__init__.py

    model: torch.nn.Module = timm.create_model(
        "repvit_nas", pretrained=pretrained, architecture=architecture, **kwargs
    )
    return model.eval()
