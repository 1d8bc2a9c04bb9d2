import copy
import functools

import onnxruntime
import pytest
import torch
from torch import nn
from training_support import drawn_network

from repvit_nas.conversion.onnx import exported_model
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.comparing import FACTOR, FUSING_ALLOWED, Answering, compare, scoring
from repvit_nas.export.fused import fuse
from repvit_nas.export.onnx import onnx_form
from repvit_nas.training.checkpoint import write_tensors


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


def test_without_images_nothing_is_called_sound(tmp_path):
    fused = fuse(drawn_network(0))
    with pytest.raises(RepvitNasError, match="no images to compare"):
        compare(drawn_network(0), fused, [form_of(fused.single, tmp_path)], [])


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
