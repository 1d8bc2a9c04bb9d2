import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import randomize
from torch import nn

from repvit_nas import load, reparameterize
from repvit_nas.architecture import Architecture, Stage
from repvit_nas.conversion.onnx import INPUT, OUTPUT, check, program_model
from repvit_nas.errors import RepvitNasError
from repvit_nas.network.pieces import fused_module, input_shape, parameter_shapes, random_weights
from repvit_nas.units import Block, Downsample, Features, Ffn, Head, Stem, rows

ALL_KINDS = [
    Stem(24, 48),
    Block(24, 48, 0, 3, 14),
    Block(24, 60, 8, 5, 14),
    Block(32, 48, 8, 7, 9),
    Downsample(24, 40, 3, 15),
    Downsample(24, 40, 7, 14),
    Ffn(40, 80, 7),
    Head(40, 13, 7),
]


def run(units, weights, image):
    built = program_model(units, weights, batch=len(image))
    options = onnxruntime.SessionOptions()
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(v) for v in built.weights.values()]
    options.add_external_initializers(list(built.weights), values)
    session = onnxruntime.InferenceSession(
        built.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run([OUTPUT], {INPUT: image})[0]


def image_for(unit, seed=0, batch=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, *input_shape(unit)), dtype=np.float32)


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


def test_copies_differ_and_repeat():
    unit = Block(24, 48, 8, 3, 14)
    one, other = random_weights(unit, 1), random_weights(unit, 2)

    assert all(not np.array_equal(one[name], other[name]) for name in one)
    assert all(np.array_equal(one[name], again) for name, again in random_weights(unit, 1).items())


def test_activations_neither_vanish_nor_overflow():
    """A long chain, as timed: denormal numbers would be timed as something else."""
    unit = Block(48, 96, 16, 3, 14)

    out = run([unit] * 16, [random_weights(unit, k) for k in range(16)], image_for(unit))

    assert np.isfinite(out).all()
    assert 1e-2 < out.std() < 1e4


def test_a_fused_unit_has_the_parameters_of_the_closed_form():
    for unit in ALL_KINDS:
        counted = sum(int(np.prod(shape)) for shape in parameter_shapes(unit).values())
        assert counted == unit.params, unit


def test_a_feature_map_is_no_program():
    with pytest.raises(TypeError, match="Features cannot be"):
        program_model([Features(8, 7)], [{}])
