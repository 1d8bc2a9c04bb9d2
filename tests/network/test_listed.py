"""A network told by its units, where timm and the rest of the package take it."""

import pytest
import timm
import torch
from support import randomize

from repvit_nas import load, reparameterize
from repvit_nas.errors import RepvitNasError
from repvit_nas.network import ListedNetwork, RepVitNas
from repvit_nas.search_space.path import path_network


def test_the_last_step_answers_as_m0_9():
    ours = load("path:9").eval()
    theirs = randomize(load("repvit_m0_9", distillation=False)).eval()
    assert isinstance(ours, ListedNetwork)
    assert isinstance(theirs, RepVitNas)
    # timm keeps pre-blocks with the downsample behind them: both list layers in the order of the rows.
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 64, 64)

    with torch.inference_mode():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected)
        torch.testing.assert_close(reparameterize(ours)(images), expected, rtol=1e-3, atol=1e-4)


def test_timm_builds_it_and_saves_what_builds_it_again():
    model = timm.create_model("repvit_nas", architecture="path:2", num_classes=7)
    again = timm.create_model("repvit_nas", **model._model_args | {"num_classes": 7})
    again.load_state_dict(model.state_dict())

    assert model.num_classes == 7
    assert model.pretrained_cfg["input_size"] == (3, 224, 224)
    assert again.architecture == path_network("2")
    model.set_grad_checkpointing()
    image = torch.randn(2, 3, 64, 64)
    model.train()(image).sum().backward()
    assert model(image).shape == (2, 7)
    assert model.forward_head(model.forward_features(image), pre_logits=True).shape == (2, 160)


def test_another_classifier_is_put_in():
    model = load("path:7")
    model.reset_classifier(3)

    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert model.get_classifier() is model.head


def test_two_heads_learn_from_a_teacher_where_the_head_is_repvits():
    model = load("path:6", distillation=True).train()
    model.set_distilled_training(True)
    first, second = model(torch.randn(2, 3, 32, 32))
    assert first.shape == second.shape == (2, 1000)
    with pytest.raises(RepvitNasError, match="head has no second one that learns from a teacher"):
        load("path:0", distillation=True)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"features_only": True}, "has no stages whose maps it could hand back"),
        ({"num_classes": 0}, "give it classes"),
        ({"in_chans": 1}, "in_chans must be 3, as the first unit"),
        ({"pretrained": True}, "there are no published weights of path_3_width"),
    ],
)
def test_what_it_cannot_be_is_said(asked, words):
    with pytest.raises(RepvitNasError, match=words):
        load("path:3", **asked)
