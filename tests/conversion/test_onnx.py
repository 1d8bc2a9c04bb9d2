import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_programs import ALL_KINDS, image_for, run
from support import randomize
from torch import nn

from repvit_nas import load, reparameterize
from repvit_nas.architecture import Architecture, Stage
from repvit_nas.conversion.onnx import check, program_model
from repvit_nas.errors import RepvitNasError
from repvit_nas.network.pieces import fused_module, parameter_shapes, random_weights
from repvit_nas.units import Block, Features, rows


@pytest.mark.parametrize("unit", ALL_KINDS, ids=repr)
def test_a_unit_is_what_torch_computes(unit):
    weights = random_weights(unit, 3)
    image = image_for(unit)

    produced = run([unit], [weights], image)

    check(unit, produced, image, weights)
    with torch.no_grad():
        expected = fused_module(unit, weights)(torch.from_numpy(image)).numpy()
    assert np.abs(produced - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_check_notices_a_wrong_unit():
    """The control: weights of another copy must not pass."""
    unit = ALL_KINDS[1]
    image = image_for(unit)

    produced = run([unit], [random_weights(unit, 1)], image)

    with pytest.raises(RepvitNasError, match="differs from torch"):
        check(unit, produced, image, random_weights(unit, 2))


def test_a_program_of_a_networks_rows_is_the_network():
    """With the fused network's own weights, unit by unit: the whole of timm's forward pass."""
    stages = tuple(
        Stage(width=w, depth=d, se="10"[:d], expansion=e, kernel=k)
        for w, d, e, k in ((16, 1, 2, 3), (24, 2, 1.5, 5), (32, 2, 2, 3), (48, 1, 2, 7))
    )
    architecture = Architecture(stages=stages, num_classes=11, resolution=64)
    model = reparameterize(randomize(load(architecture)))
    units = rows(architecture)

    produced = run(units, _weights_of(model, units), image_for(units[0], batch=2))

    with torch.no_grad():
        expected = model(torch.from_numpy(image_for(units[0], batch=2))).numpy()
    assert np.abs(produced - expected).max() < 1e-4 * np.abs(expected).max()


def _weights_of(model, units):
    """Cut the state of a fused network into those of its units, in order."""
    modules = [model.stem]
    for stage in model.stages:
        if not isinstance(stage.downsample, nn.Identity):
            down = stage.downsample
            modules.append(down.pre_block)
            modules.append(nn.Sequential(down.spatial_downsample, down.channel_downsample))
            modules.append(nn.ModuleDict({"ffn": down.ffn}))
        modules += list(stage.blocks)
    modules.append(nn.ModuleDict({"linear": model.head}))
    states = [
        {name: value.numpy() for name, value in module.state_dict().items()} for module in modules
    ]
    for unit, state in zip(units, states, strict=True):
        assert {n: v.shape for n, v in state.items()} == parameter_shapes(unit)
    return states


@settings(max_examples=15)
@given(
    st.integers(1, 8), st.integers(1, 12), st.sampled_from([3, 5, 7]), st.booleans(),
    st.integers(3, 17),
)  # fmt: skip
def test_any_block_is_what_torch_computes(eighths, hidden, kernel, gated, size):
    unit = Block(8 * eighths, 8 * hidden, 8 if gated else 0, kernel, size)
    weights = random_weights(unit, 5)
    image = image_for(unit)

    check(unit, run([unit], [weights], image), image, weights)


def test_a_feature_map_is_no_program():
    with pytest.raises(TypeError, match="Features cannot be"):
        program_model([Features(8, 7)], [{}])
