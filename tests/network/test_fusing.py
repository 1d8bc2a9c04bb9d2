import copy

import pytest
import timm
import torch
from hypothesis import given, settings
from support import architectures, randomize
from torch import nn

from repvit_nas import RepVitNas, load, reparameterize
from repvit_nas.architecture import Architecture, Stage
from repvit_nas.units import rows

TOLERANCE = 1e-5


def difference(one, other, side=64, seed=0):
    """Return the largest difference of two models' outputs relative to the largest output."""
    image = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        first, second = one(image), other(image)
    return ((first - second).abs().max() / first.abs().max()).item()


def norms(model):
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("distillation", [False, True])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("expansion", [1.5, 2.0, 2.5])
def test_the_fused_network_is_the_same_function(kernel, expansion, distillation, legacy):
    stages = tuple(
        Stage(width=w, depth=2, se="01", expansion=expansion, kernel=kernel)
        for w in (16, 24, 32, 40)
    )
    architecture = Architecture(stages=stages, num_classes=11, resolution=64)
    model = randomize(RepVitNas(architecture, distillation=distillation, legacy=legacy)).eval()

    fused = reparameterize(model)

    assert difference(model, fused) < TOLERANCE
    assert norms(model)
    assert not norms(fused)
    assert sum(p.numel() for p in fused.parameters()) == sum(u.params for u in rows(architecture))


@given(architectures(classes=(10, 20)))
@settings(max_examples=15)
def test_any_network_fuses_right(architecture):
    model = randomize(RepVitNas(architecture)).eval()
    fused = reparameterize(model)

    assert difference(model, fused, side=architecture.resolution) < TOLERANCE
    assert not norms(fused)
    assert sum(p.numel() for p in fused.parameters()) == sum(u.params for u in rows(architecture))


@pytest.mark.parametrize("name", ["repvit_m0_9", "repvit_m2_3", "repvit_m1"])
def test_reference_networks_fuse_right_at_full_size(name):
    torch.manual_seed(0)  # which weights the network is made with
    model = randomize(load(name))

    assert difference(model, reparameterize(model), side=224) < TOLERANCE


def test_a_second_call_changes_nothing():
    once = reparameterize(randomize(load("repvit_m0_9")))
    twice = reparameterize(once)

    assert twice is not once
    assert all(
        (a == b).all()
        for a, b in zip(once.state_dict().values(), twice.state_dict().values(), strict=True)
    )
    assert str(once) == str(twice)


def test_the_model_itself_stays_as_it_is():
    model = randomize(load("repvit_m0_9")).train()
    before = copy.deepcopy(model.state_dict())

    fused = reparameterize(model)

    assert model.training
    assert not fused.training
    assert all((before[key] == value).all() for key, value in model.state_dict().items())


def test_the_kind_of_number_stays():
    fused = reparameterize(randomize(load("repvit_m0_9")).double())

    assert {p.dtype for p in fused.parameters()} == {torch.float64}


def test_a_backbone_without_head_fuses():
    model = randomize(load("repvit_m0_9", num_classes=0))

    assert difference(model, reparameterize(model)) < TOLERANCE


def test_features_fuse():
    model = randomize(load("repvit_m0_9", features_only=True))
    fused = reparameterize(model)
    image = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        for one, other in zip(model(image), fused(image), strict=True):
            assert ((one - other).abs().max() / one.abs().max()).item() < TOLERANCE
    assert not norms(fused)


def test_timms_own_tool_fuses_our_networks_right():
    from timm.utils.model import reparameterize_model

    stages = tuple(Stage(width=16, depth=1, se="1", kernel=7) for _ in range(4))
    model = randomize(RepVitNas(Architecture(stages=stages, num_classes=5))).eval()

    assert difference(model, reparameterize_model(model)) < TOLERANCE


def test_timms_networks_are_fused_by_our_tool():
    model = randomize(timm.create_model("repvit_m0_9")).eval()

    assert difference(model, reparameterize(model)) < TOLERANCE


def test_a_branch_without_bias_or_statistics_is_refused():
    model = load("repvit_m0_9")
    mixer = model.stages[0].blocks[0].token_mixer
    mixer.conv1.bias = None
    with pytest.raises(ValueError, match="must have a bias"):
        reparameterize(model)

    model = load("repvit_m0_9")
    model.stages[0].blocks[0].token_mixer.bn = nn.BatchNorm2d(48, track_running_stats=False)
    with pytest.raises(ValueError, match="running statistics"):
        reparameterize(model)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_timms_own_models_are_fused_right_for_every_kernel(kernel):
    model = randomize(timm.create_model("repvit_m0_9", kernel_size=kernel)).eval()
    image = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        expected, fused = model(image), reparameterize(model)(image)

    assert (fused - expected).abs().max() < 1e-5 * expected.abs().max()
