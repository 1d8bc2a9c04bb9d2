"""Necks: RepViT-SAM's by SAM's own arithmetic, and the one that fuses two stages."""

import torch

from repvit_nas.necks import FusedNeck, Neck
from repvit_nas.network.necks import SamNeck, StageFusingNeck


def layer_norm(x, weight, bias):
    """Written down from its definition: over the channels of each pixel."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    scaled = (x - mean) / torch.sqrt(variance + 1e-6)
    return weight[:, None, None] * scaled + bias[:, None, None]


def test_sams_neck_has_the_published_names_and_does_what_they_say():
    torch.manual_seed(0)
    neck = SamNeck(Neck(16, 6, 8))
    state = neck.state_dict()
    x = torch.randn(2, 16, 6, 6)

    assert list(state) == ["0.weight", "1.weight", "1.bias", "2.weight", "3.weight", "3.bias"]
    y = layer_norm(
        torch.nn.functional.conv2d(x, state["0.weight"]), state["1.weight"], state["1.bias"]
    )
    y = torch.nn.functional.conv2d(y, state["2.weight"], padding=1)
    assert torch.allclose(neck(x), layer_norm(y, state["3.weight"], state["3.bias"]), atol=1e-5)


def test_the_fusing_neck_adds_the_resized_smaller_map():
    torch.manual_seed(0)
    neck = StageFusingNeck(FusedNeck(16, 40, 8, 24))
    third, fourth = torch.randn(1, 16, 8, 8), torch.randn(1, 40, 4, 4)
    constant = torch.ones_like(fourth)

    assert neck(third, fourth).shape == (1, 24, 8, 8)
    added = neck.lateral(third) + neck.top(constant)[..., :1, :1]  # a constant resized is constant
    assert torch.allclose(neck(third, constant), neck.mix(added), atol=1e-5)
