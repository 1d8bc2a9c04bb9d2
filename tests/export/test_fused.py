"""The fused form and its file."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_support import drawn_network

from repvit_nas import reparameterize
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.fused import check_fused, fuse, write_fused


def test_one_flipped_bit_of_the_file_is_caught(tmp_path):
    fused = fuse(drawn_network(0))
    path = write_fused(tmp_path / "fused.safetensors", fused)
    stored = load_file(path)
    stored["head.bias"].view(torch.int32)[0] ^= 1
    save_file(stored, path)

    with pytest.raises(RepvitNasError, match=r"1 of .* tensors .* first is head\.bias"):
        check_fused(path, fused)


def test_single_precision_is_double_rounded_once():
    fused = fuse(drawn_network(1))

    double, single = (each.state_dict() for each in fused)
    assert all(torch.equal(value.float(), single[name]) for name, value in double.items())


def test_fusing_in_double_precision_is_not_rounded_between():
    """timm's fusions make layers in single precision, whatever they are made of."""
    model = drawn_network(2).double()
    fused = reparameterize(model)
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()

    assert {value.dtype for value in fused.state_dict().values()} == {torch.float64}
    with torch.inference_mode():
        apart = (fused(images) - model(images)).abs().max()
    assert apart < 1e-11
    assert torch.empty(1).dtype == torch.float32
