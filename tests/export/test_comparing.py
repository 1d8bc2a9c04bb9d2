import copy
import functools

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from training_support import small

from repvit_nas import reparameterize
from repvit_nas.conversion.onnx import exported_model
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.comparing import FACTOR, FUSING_ALLOWED, Answering, compare, fuse, scoring
from repvit_nas.export.forms import fused_form, onnx_form
from repvit_nas.network import create
from repvit_nas.training.checkpoint import write_tensors


def drawn_network(seed):
    """A tiny network whose batch norms are as far apart as a training can leave them."""
    draw = torch.Generator().manual_seed(seed)
    normal = functools.partial(torch.randn, generator=draw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create(small())
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                channels = module.num_features
                module.running_mean.copy_(normal(channels))
                module.running_var.copy_(torch.exp(2 * normal(channels)))
                module.weight.copy_(normal(channels))
                module.bias.copy_(normal(channels))
    return model


@functools.cache
def images():
    return torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def form_of(model, folder):
    path = folder / "fused.safetensors"
    write_tensors(path, model.state_dict())
    return Answering("fused", path, "torch", scoring(model))


def test_sound_networks_pass_however_much_single_precision_rounds_them(tmp_path):
    """Of these, the old bound of 1e-5 refused every third."""
    errors = []
    for seed in range(12):
        model = drawn_network(seed)
        fused = fuse(model)

        comparison = compare(model, fused, [form_of(fused.single, tmp_path)], [images()])

        (form,) = comparison.forms
        errors.append(form.error)
        bound = comparison.rounding
        assert bound.fusing <= FUSING_ALLOWED / 50
        assert form.allowed == bound.allowed == FACTOR * max(bound.single, bound.weights)
        assert form.agreement >= 98
    assert sum(error > 1e-5 for error in errors) >= 3


@pytest.mark.parametrize("opset", [None, 17])
def test_what_onnxruntime_makes_of_them_is_within_the_same_bound(tmp_path, opset):
    for seed in range(3):
        model = drawn_network(seed)
        fused = fuse(model)
        path = tmp_path / f"{seed}.onnx"
        made = exported_model(
            fused.single, torch.zeros(2, 3, 32, 32), names=("image", "scores"), opset=opset
        )
        path.write_bytes(made.SerializeToString())

        (form,) = compare(model, fused, [onnx_form(path, onnxruntime)], [images()]).forms

        assert form.error <= form.allowed


def test_one_wrong_batch_norm_statistic_is_caught_by_double_precision(tmp_path):
    """A relative fault of 1e-6 is below what single precision rounds, and far above double's."""
    model = drawn_network(1)
    other = copy.deepcopy(model)
    other.stages[2].blocks[0].token_mixer.conv.bn.running_var[3] *= 1 + 1e-6
    fused = fuse(other)

    with pytest.raises(RepvitNasError, match=r"the fused network differs .* double precision"):
        compare(model, fused, [form_of(fused.single, tmp_path)], [images()])


@pytest.mark.parametrize("seed", range(4))
def test_one_changed_weight_is_caught_by_the_scores(tmp_path, seed):
    model = drawn_network(seed)
    fused = fuse(model)
    changed = copy.deepcopy(fused.single)
    with torch.no_grad():
        changed.head.weight[0] *= 1.01

    with pytest.raises(RepvitNasError, match=r"fused\.safetensors: differs .* single precision"):
        compare(model, fused, [form_of(changed, tmp_path)], [images()])


def test_a_fault_beyond_the_first_images_is_caught_too(tmp_path):
    model = drawn_network(1)
    fused = fuse(model)
    form = form_of(fused.single, tmp_path)
    later = form._replace(
        scores=lambda batch: [form.scores(batch)[0] * (1 if len(batch) == 64 else 1.01)]
    )

    assert compare(model, fused, [form], [images(), images()[:8]]).forms[0].images == 72
    with pytest.raises(RepvitNasError, match=r"fused\.safetensors: differs"):
        compare(model, fused, [later], [images(), images()[:8]])


def test_one_flipped_bit_of_the_file_is_caught(tmp_path):
    fused = fuse(drawn_network(0))
    path = tmp_path / "fused.safetensors"
    write_tensors(path, fused.single.state_dict())
    assert fused_form(path, fused).name == "fused"
    stored = load_file(path)
    stored["head.bias"].view(torch.int32)[0] ^= 1
    save_file(stored, path)

    with pytest.raises(RepvitNasError, match=r"1 of .* tensors .* first is head\.bias"):
        fused_form(path, fused)


def test_without_images_nothing_is_called_sound(tmp_path):
    fused = fuse(drawn_network(0))
    with pytest.raises(RepvitNasError, match="no images to compare"):
        compare(drawn_network(0), fused, [form_of(fused.single, tmp_path)], [])


def test_fusing_in_double_precision_is_not_rounded_between():
    """timm's fusions make layers in single precision, whatever they are made of."""
    model = drawn_network(2).double()
    fused = reparameterize(model)

    assert {value.dtype for value in fused.state_dict().values()} == {torch.float64}
    with torch.inference_mode():
        apart = (fused(images().double()) - model(images().double())).abs().max()
    assert apart < 1e-11
    assert torch.empty(1).dtype == torch.float32


class TwoMaps(nn.Module):
    """Hands back a map of large and one of small numbers."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        scores = self.model(x)
        return [1e3 * scores, 1e-3 * scores]


def test_each_of_several_maps_is_held_to_its_own_scale(tmp_path):
    model = TwoMaps(drawn_network(0)).eval()
    fused = fuse(model)
    form = form_of(fused.single, tmp_path)
    small_one_wrong = form._replace(
        scores=lambda batch: [form.scores(batch)[0], 1.01 * form.scores(batch)[1]]
    )

    assert compare(model, fused, [form], [images()]).forms[0].agreement >= 98
    with pytest.raises(RepvitNasError, match=r"fused\.safetensors: differs"):
        compare(model, fused, [small_one_wrong], [images()])
