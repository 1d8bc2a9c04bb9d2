"""`timm.create_model("repvit_nas", architecture=...)`: what an architecture may be given as."""

import msgspec
import pytest
import timm
import torch

from repvit_nas.architecture import write_architecture
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.search_space.family import family
from repvit_nas.timm_entry import resolve

M0_9 = family()["repvit_m0_9"].architecture


def test_a_name_a_file_an_architecture_and_its_content_are_one_network(tmp_path):
    write_architecture(tmp_path / "a.json", M0_9)

    for named in ("repvit_m0_9", tmp_path / "a.json", M0_9, msgspec.to_builtins(M0_9)):
        assert resolve(named) == M0_9


def test_a_document_that_is_none_is_refused():
    with pytest.raises(FileError, match="architecture"):
        resolve({"schema": 1, "stages": []})


def test_timm_builds_it_and_is_told_its_input():
    small = msgspec.structs.replace(M0_9, resolution=96, num_classes=5)

    model = timm.create_model("repvit_nas", architecture=small).eval()

    assert model.default_cfg["input_size"] == (3, 96, 96)
    assert model.default_cfg["pool_size"] == (3, 3)
    assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 5)


def test_stages_are_asked_for_by_timm_s_own_words():
    model = timm.create_model(
        "repvit_nas", architecture="repvit_m0_9", features_only=True, out_indices=(1, 3)
    )

    # 48, 96, 192 and 384 channels at a fourth to a thirty-second of the side, as in the paper.
    assert model.feature_info.channels() == [96, 384]
    assert model.feature_info.reduction() == [8, 32]


def test_weights_of_a_network_that_nobody_published_are_refused():
    stages = M0_9.stages
    wider = msgspec.structs.replace(stages[0], width=56)
    other = msgspec.structs.replace(M0_9, name="mine", stages=(wider, *stages[1:]))

    with pytest.raises(RepvitNasError, match="no published weights of mine.*repvit_m0_9"):
        timm.create_model("repvit_nas", pretrained=True, architecture=other)
