"""What several tests share: how to draw architectures, and weights that are not trivial."""

from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import nn

from repvit_nas.architecture import Architecture, Stage

ROOT = Path(__file__).parents[1]


@st.composite
def stages(draw, *, max_width=64, max_depth=4):
    depth = draw(st.integers(1, max_depth))
    return Stage(
        width=8 * draw(st.integers(1, max_width // 8)),
        depth=depth,
        se=draw(st.text("01", min_size=depth, max_size=depth)),
        expansion=draw(st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.25, 2.5, 3.0, 4.0])),
        kernel=draw(st.sampled_from([3, 5, 7])),
    )


@st.composite
def architectures(draw, *, max_width=64, max_depth=4, resolutions=(32, 96), classes=(0, 20)):
    return Architecture(
        name=draw(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=12)),
        resolution=draw(st.integers(*resolutions)),
        num_classes=draw(st.integers(*classes)),
        stages=tuple(draw(stages(max_width=max_width, max_depth=max_depth)) for _ in range(4)),
    )


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm statistics and weights that a wrong fusion would not survive."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            size = module.num_features
            with torch.no_grad():
                module.weight.copy_(0.5 + torch.rand(size, generator=generator))
                module.bias.copy_(0.1 * torch.randn(size, generator=generator))
                module.running_mean.copy_(0.1 * torch.randn(size, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(size, generator=generator))
    return model
