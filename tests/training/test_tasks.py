"""What a network learns from: labels, and a teacher."""

import pytest
import torch
from safetensors.torch import load_file
from training_support import TINY

import repvit_nas
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.run import train


def test_a_teacher_teaches_the_second_head(tmp_path, asking):
    teacher = tmp_path / "teacher"
    train(asking(TINY, classes=24), teacher)
    asked = asking(TINY, classes=24, distillation="hard", teacher=str(teacher), mixup=0.8)
    train(asked, tmp_path / "run")

    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert "head.head_dist.l.weight" in weights
    assert not torch.equal(weights["head.head_dist.l.weight"], weights["head.head.l.weight"])
    model = repvit_nas.load(tmp_path / "run")
    assert model.head.distillation
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 24)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [("nobody", "teacher 'nobody' is missing"), ("{run}", "knows 24 classes, the images have 10")],
)
def test_a_teacher_that_cannot_be_had_is_said(tmp_path, asking, teacher, message):
    train(asking(TINY, classes=24), tmp_path / "run")
    name = teacher.format(run=tmp_path / "run")

    with pytest.raises(RepvitNasError, match=message):
        train(asking(distillation="hard", teacher=name), tmp_path / "student")
