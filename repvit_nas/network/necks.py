"""Necks that make the one map of SAM's decoder out of a network's last stages."""

import torch
from timm.layers import LayerNorm2d  # type: ignore[attr-defined]
from torch import nn
from torch.nn import functional as F

from repvit_nas.necks import FusedNeck, Neck

# As SAM's own encoders have it.
_EPS = 1e-6


class SamNeck(nn.Sequential):
    """RepViT-SAM's neck, SAM's own: 1x1, layer norm over channels, 3x3, layer norm; no biases.

    Its state dict has the names of the official checkpoints: `0.weight`, `1.weight`, `1.bias`, ...
    """

    def __init__(self, unit: Neck) -> None:
        super().__init__(
            nn.Conv2d(unit.width, unit.channels, 1, bias=False),
            LayerNorm2d(unit.channels, eps=_EPS),
            nn.Conv2d(unit.channels, unit.channels, 3, padding=1, bias=False),
            LayerNorm2d(unit.channels, eps=_EPS),
        )


class StageFusingNeck(nn.Module):
    """A neck of the last two stages: each through a 1x1, the smaller resized bilinearly and added.

    Bilinear, because Core ML has no bicubic resizing.
    """

    def __init__(self, unit: FusedNeck) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(unit.width, unit.channels, 1, bias=False)
        self.top = nn.Conv2d(unit.last_width, unit.channels, 1, bias=False)
        self.mix = nn.Sequential(
            LayerNorm2d(unit.channels, eps=_EPS),
            nn.Conv2d(unit.channels, unit.channels, 3, padding=1, bias=False),
            LayerNorm2d(unit.channels, eps=_EPS),
        )

    def forward(self, third: torch.Tensor, fourth: torch.Tensor) -> torch.Tensor:
        """Return the map of two stages, as large as the third's, whose side is twice the fourth's."""
        top = F.interpolate(self.top(fourth), scale_factor=2.0, mode="bilinear")
        mixed: torch.Tensor = self.mix(self.lateral(third) + top)
        return mixed
