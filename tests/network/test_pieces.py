"""Units as modules of their own, with weights that are timed as a trained network's."""

import numpy as np
import pytest
import torch
from onnx_programs import ALL_KINDS, image_for, run

from repvit_nas import load
from repvit_nas.architecture import Architecture, Stage
from repvit_nas.network.pieces import (
    Chain,
    fused_module,
    input_shape,
    parameter_shapes,
    random_weights,
    unit_module,
)
from repvit_nas.units import Block, Downsample, Features, Ffn, Head, Stem, rows, tapped


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


def test_an_ffn_adds_what_it_computes_to_what_it_takes():
    """With a second layer of nothing, it is the identity; a classifier averages its map."""
    ffn, head = Ffn(4, 8, 3), Head(4, 2, 3)
    weights = {
        name: np.zeros_like(value) if name.startswith("ffn.conv2") else value
        for name, value in random_weights(ffn, 1).items()
    }
    image = torch.arange(36, dtype=torch.float32).reshape(1, 4, 3, 3)
    linear = {
        "linear.weight": np.array([[1, 0, 0, 0], [0, 0, 0, 2]], np.float32),
        "linear.bias": np.array([0.5, 0.0], np.float32),
    }

    assert torch.equal(fused_module(ffn, weights)(image), image)
    # The means of 0 to 8 and of 27 to 35 are 4 and 31.
    assert fused_module(head, linear)(image).tolist() == [[4.5, 62.0]]


@pytest.mark.parametrize(
    ("unit", "taken", "given"),
    [
        (Stem(24, 48), (3, 48, 48), (24, 12, 12)),
        (Block(24, 48, 8, 5, 14), (24, 14, 14), (24, 14, 14)),
        (Downsample(24, 40, 3, 15), (24, 15, 15), (40, 8, 8)),
        (Head(40, 13, 7), (40, 7, 7), (13,)),
    ],
)
def test_a_unit_takes_and_gives_maps_of_its_shape(unit, taken, given):
    module = unit_module(unit).eval()

    assert input_shape(unit) == taken
    assert module(torch.zeros(2, *taken)).shape == (2, *given)


def test_what_no_classifier_is_made_of_cannot_be_run():
    for use in (unit_module, input_shape):
        with pytest.raises(TypeError, match="Features cannot be run on its own"):
            use(Features(40, 7))


def test_a_chain_hands_back_the_maps_that_the_network_does():
    stages = tuple(Stage(width=width, depth=2, se="10") for width in (8, 16, 24, 32))
    architecture = Architecture(stages=stages, output="features", num_classes=0, resolution=64)
    units, places = tapped(rows(architecture))
    model = load(architecture)
    parts = [
        model.stem,
        *(
            part
            for stage in model.stages
            for part in (stage.downsample, *stage.blocks)
            if not isinstance(part, torch.nn.Identity)
        ),
    ]
    ends = [
        2,
        5,
        8,
        11,
    ]  # the last block of each stage; an opening is one module here, three units there
    image = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        expected = model(image)
        found = Chain(parts, ends)(image)

    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))
    taken = [units[place] for place in places]
    assert [unit.width for unit in taken] == [8, 16, 24, 32]
    assert all(isinstance(unit, Block) for unit in taken)
