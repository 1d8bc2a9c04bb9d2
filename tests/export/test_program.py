"""What all packages share: the network's own weights, and pictures prepared as it was trained."""

import pytest
import torch

import repvit_nas
from repvit_nas.conversion.mil import read_package
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.program import Preparation, check_program
from repvit_nas.export.records import read_export


def test_pictures_come_back_from_what_was_made_of_them(run):
    prepare = Preparation.of(repvit_nas.load(run))
    pictures = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(1))

    assert torch.equal(prepare.pixels(prepare(pictures.float())), pictures.float())
    assert prepare(torch.full((1, 3, 1, 1), 255.0)).flatten()[0] == pytest.approx(
        (1 - 0.485) / 0.229, rel=1e-6
    )


def test_a_weight_that_is_not_the_networks_is_noticed(run):
    program = read_package(run / "model.mlpackage")
    fused = repvit_nas.reparameterize(repvit_nas.load(run))
    operations = read_export(run).operations
    check_program(program, fused, operations)
    with torch.no_grad():
        fused.stem.conv1.weight[0, 0, 0, 0] += 0.01

    with pytest.raises(RepvitNasError, match="the weights of 1 of .* layers are not those"):
        check_program(program, fused, operations)
    with pytest.raises(RepvitNasError, match="operation 'tanh', which is not ours"):
        check_program(program, fused, operations | {"tanh": 1})


def test_a_bias_that_is_not_the_networks_is_noticed(run):
    program = read_package(run / "model.mlpackage")
    fused = repvit_nas.reparameterize(repvit_nas.load(run))
    with torch.no_grad():
        fused.stem.conv1.bias[0] += 0.01

    with pytest.raises(RepvitNasError, match="the biases of 1 of .* layers are not those"):
        check_program(program, fused, read_export(run).operations)
