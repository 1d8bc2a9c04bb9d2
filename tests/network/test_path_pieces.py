"""MobileNetV3's parts against timm's own network."""

import pytest
import timm
import torch
from support import randomize
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import nn

from repvit_nas import load, reparameterize
from repvit_nas.network.path_pieces import path_module
from repvit_nas.path_units import Inverted, Separated
from repvit_nas.search_space.path import path_network


class GatedFirst(nn.Module):
    """SE before the activation, as d-li14/mobilenetv3.pytorch has it; timm has it behind."""

    def __init__(self, se):
        super().__init__()
        self.se = se

    def forward(self, x):
        return nn.functional.gelu(self.se(x))


def mobilenet():
    """Return timm's MobileNetV3-L with the activations that RepViT's authors use."""
    model = timm.create_model("mobilenetv3_large_100")
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.Hardswish):
                setattr(module, name, nn.GELU())
    for module in list(model.modules()):
        if isinstance(getattr(module, "se", None), SqueezeExcite):
            module.se.gate, module.se.act1 = nn.Sigmoid(), nn.ReLU()
            module.bn2.act = nn.Identity()
            module.se = GatedFirst(module.se)
    return model.eval()


def test_the_first_step_answers_as_timms_mobilenetv3():
    torch.manual_seed(0)
    theirs, ours = randomize(mobilenet()), load("path:0").eval()
    # Both list their layers in the order in which an image passes them.
    with torch.no_grad():
        mine, other = ours.state_dict(), list(theirs.state_dict().values())
        assert len(mine) == len(other)
        for value, source in zip(mine.values(), other, strict=True):
            value.copy_(source.reshape(value.shape))
    images = torch.randn(2, 3, 224, 224)

    with torch.inference_mode():
        expected, found = theirs(images), ours(images)
        fused = reparameterize(ours)(images)

    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fused, expected, rtol=1e-3, atol=1e-4)


def test_a_residual_is_added_where_nothing_changes():
    kept, changed = Inverted(8, 16, 8, 0, 3, 1, 6), Inverted(8, 16, 12, 0, 3, 1, 6)
    image = torch.randn(2, 8, 6, 6)
    for unit in (kept, changed):
        module = path_module(unit).eval()
        nn.init.zeros_(module.project.bn.weight)
        answer = module(image)
        assert torch.equal(answer, image if unit is kept else torch.zeros(2, 12, 6, 6))


@pytest.mark.parametrize("step", ["1", "5"])
def test_a_unit_without_a_residual_learns_from_the_start(step):
    """A last batch norm of zeros, as RepViT's FFNs begin with, would stop every gradient."""
    torch.manual_seed(0)
    model = load(f"path:{step}").train()
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    separated = [unit for unit in path_network(step).units if isinstance(unit, Separated)]

    assert bool(separated) == (step == "1")
    assert model.units[0](torch.randn(2, 3, 64, 64)).std() > 0
    first = next(model.units[0].parameters())
    assert first.grad.abs().max() > 0
