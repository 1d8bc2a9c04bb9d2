"""Teachers of maps: whatever makes one map of an image, and what is said of others."""

import pytest
import torch
from torch import nn
from training_support import map_network, scripted

from repvit_nas.conversion.onnx import exported_model
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.teacher import check_map, load_map_teacher, teacher_digest

CPU = torch.device("cpu")


class TwoMaps(nn.Module):
    def forward(self, x):
        return x, x


def as_onnx(folder, module, *names, batch=2):
    path = folder / "teacher.onnx"
    made = exported_model(module, torch.zeros(batch, 3, 64, 64), names=names or None)
    path.write_bytes(made.SerializeToString())
    return str(path)


@pytest.mark.parametrize("batch", [1, 2])
def test_files_of_both_kinds_make_the_map_of_the_network(tmp_path, batch):
    """A model that was exported for one image takes a batch image by image."""
    images = torch.randn(3, 3, 64, 64)
    names = () if batch == 1 else ("image", "map")
    with torch.no_grad():
        expected = map_network()(images)

    for name in (scripted(tmp_path), as_onnx(tmp_path, map_network(), *names, batch=batch)):
        teacher = load_map_teacher(name, CPU)
        check_map(teacher, (256, 4, 4), 64)
        assert torch.allclose(teacher.maps(images), expected, atol=1e-5)
        assert teacher.digest == teacher_digest(name) != ""


def test_another_size_or_other_channels_are_said_before_anything_is_trained(tmp_path):
    teacher = load_map_teacher(scripted(tmp_path, map_network(128)), CPU)

    with pytest.raises(
        RepvitNasError, match=r"map of \(128, 4, 4\) .* of 64 px, the network one of \(256"
    ):
        check_map(teacher, (256, 4, 4), 64)
    with pytest.raises(RepvitNasError, match=r"map of \(128, 6, 6\) of an image of 96 px"):
        check_map(teacher, (256, 6, 6), 96)


def test_an_onnx_file_of_several_outputs_is_no_teacher(tmp_path):
    with pytest.raises(
        RepvitNasError, match=r"has 2 outputs \(one, two\); export one that makes the one"
    ):
        load_map_teacher(as_onnx(tmp_path, TwoMaps(), "image", "one", "two"), CPU)


def test_what_is_no_teacher_is_said_in_a_line(tmp_path):
    (tmp_path / "torn.onnx").write_bytes(b"torn")
    (tmp_path / "torn.pt").write_bytes(b"torn")

    with pytest.raises(FileError, match="is no ONNX model"):
        load_map_teacher(str(tmp_path / "torn.onnx"), CPU)
    with pytest.raises(FileError, match="is no TorchScript file"):
        load_map_teacher(str(tmp_path / "torn.pt"), CPU)
    with pytest.raises(FileError, match="cannot be read"):
        load_map_teacher(str(tmp_path / "nowhere.pt"), CPU)
    with pytest.raises(RepvitNasError, match="is neither an ONNX file"):
        load_map_teacher("no_such_model", CPU)
