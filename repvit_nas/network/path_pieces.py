"""The units of the path from MobileNetV3-L as torch modules, made of timm's parts as RepViT's are."""

from collections import OrderedDict
from typing import cast

import torch
from timm.models.repvit import ConvNorm
from torch import nn

from repvit_nas.network.model import BRANCHED, TrainingForm, depthwise, gate, token_mixer
from repvit_nas.path_units import (
    ConvGelu,
    GatedDownsample,
    Inverted,
    PathUnit,
    Separated,
    WideHead,
)


class InvertedBlock(nn.Module):
    """MobileNetV3's block."""

    def __init__(self, unit: Inverted) -> None:
        super().__init__()
        self.residual = unit.residual
        self.expand = (
            nn.Sequential(ConvNorm(unit.c_in, unit.hidden), nn.GELU())
            if unit.expands
            else nn.Identity()
        )
        self.depthwise = depthwise(unit.hidden, unit.kernel, unit.stride)
        self.se = gate(unit.hidden, unit.se)
        self.act = nn.GELU()
        self.project = ConvNorm(unit.hidden, unit.c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run on `(batch, c_in, size, size)`."""
        y = self.project(self.act(self.se(self.depthwise(self.expand(x)))))
        return cast("torch.Tensor", x + y if self.residual else y)


class SeparatedBlock(nn.Module):
    """RepViT's block where it changes width or size: without a residual, and of stride 2 in one branch."""

    def __init__(self, unit: Separated, form: TrainingForm) -> None:
        super().__init__()
        halves = unit.stride == 2  # in one branch, whatever the form
        self.depthwise = depthwise(unit.c_in, unit.kernel, 2) if halves else nn.Identity()
        self.token_mixer = nn.Identity() if halves else token_mixer(unit.c_in, unit.kernel, form)
        self.se = gate(unit.c_in, unit.se)
        # RepVitMlp begins as nothing, which only a residual makes up for.
        self.channel_mixer = nn.Sequential(
            ConvNorm(unit.c_in, unit.hidden), nn.GELU(), ConvNorm(unit.hidden, unit.c_out)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run on `(batch, c_in, size, size)`."""
        return cast(
            "torch.Tensor", self.channel_mixer(self.se(self.token_mixer(self.depthwise(x))))
        )


class WideClassifier(nn.Module):
    """MobileNetV3's head."""

    # It has no second head that learns from a teacher.
    distillation = False

    def __init__(self, unit: WideHead) -> None:
        super().__init__()
        self.conv = ConvNorm(unit.width, unit.middle)
        self.act = nn.GELU()
        self.linear = nn.Linear(unit.middle, unit.hidden)
        # Called as in timm's RepViT, so that what replaces a classifier finds it.
        self.head = nn.Sequential(OrderedDict(l=nn.Linear(unit.hidden, unit.classes)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run on `(batch, width, size, size)`; returns `(batch, classes)`."""
        pooled = self.act(self.conv(x)).mean((2, 3))
        return cast("torch.Tensor", self.head(self.act(self.linear(pooled))))


def path_module(unit: PathUnit, form: TrainingForm = BRANCHED) -> nn.Module:
    """Return `unit` as a module in training form, with fresh weights."""
    match unit:
        case ConvGelu(c_in, c_out, kernel, stride):
            return nn.Sequential(ConvNorm(c_in, c_out, kernel, stride, kernel // 2), nn.GELU())
        case Inverted():
            return InvertedBlock(unit)
        case Separated():
            return SeparatedBlock(unit, form)
        case GatedDownsample(c_in, c_out, se, kernel):
            return nn.Sequential(depthwise(c_in, kernel, 2), gate(c_in, se), ConvNorm(c_in, c_out))
        case WideHead():
            return WideClassifier(unit)
