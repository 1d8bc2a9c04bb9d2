"""What is exported, and what its files say of it."""

import json

import msgspec
import pytest
import torch
from training_support import small

from repvit_nas.architecture import Architecture, with_output
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.subject import trained_subject, untrained_subject
from repvit_nas.training.trained import trained_run


def test_an_untrained_network_is_the_same_every_time_and_draws_from_nobody():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()

    one, other = (untrained_subject(small()) for _ in range(2))

    assert torch.equal(torch.random.get_rng_state(), before)
    weights, again = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert one.digest == ""
    assert one.title == "small, untrained: random weights, for a latency test only"
    assert json.loads(one.known["classes"])[9] == "class 9"
    assert msgspec.json.decode(one.known["architecture"], type=Architecture) == small()


def test_a_trained_classifiers_features_are_its_own_without_the_head(run):
    whole, maps = (
        trained_subject(trained_run(run)),
        trained_subject(trained_run(run), output="features"),
    )

    assert maps.architecture == with_output(whole.architecture, "features")
    assert (maps.classes, maps.known["output"]) == ((), "features")
    own, theirs = whole.model.state_dict(), maps.model.state_dict()
    assert set(theirs) == {key for key in own if not key.startswith("head.")}
    assert all(torch.equal(value, own[key]) for key, value in theirs.items())


def test_weights_of_a_neck_are_not_made_up(run):
    with pytest.raises(RepvitNasError, match="was trained for logits, so there are no weights for"):
        trained_subject(trained_run(run), output="sam")


def test_a_trained_network_says_what_it_was_trained_on_and_how_well(run):
    record = json.loads((run / "training.json").read_text())

    subject = trained_subject(trained_run(run))

    assert subject.title == "small trained on shapes"
    assert subject.known["data"] == "shapes"
    assert float(subject.known["top1"]) == pytest.approx(record["outcome"]["top1"], abs=5e-4)
    assert subject.digest == record["outcome"]["weights_digest"] == subject.known["weights_digest"]
    assert subject.classes == tuple(record["classes"])
    assert not subject.model.training
