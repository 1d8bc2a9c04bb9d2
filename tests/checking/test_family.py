"""The reference family of a trained network."""

import msgspec
import pytest
from training_support import small

from repvit_nas.checking.check import check_run
from repvit_nas.checking.family import family_names, member_asked, members, train_beside
from repvit_nas.errors import UnknownNameError
from repvit_nas.files import read_json
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked, TrainFile, read_training
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.trained import trained_run


def test_members_take_the_steps_of_all_processes(run):
    record = read_training(run)
    eight = msgspec.structs.replace(record.asked, processes=8)

    member = member_asked(eight, "repvit_m0_9")

    assert member.processes == 1
    assert member.recipe.total_batch(1) == eight.recipe.total_batch(8)
    assert member.recipe.scaled_lr(1) == eight.recipe.scaled_lr(8)


def test_the_family_is_trained_by_the_same_recipe_on_the_same_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = DataSpec(name="shapes", train_images=64, val_images=24)
    recipe = load_recipe("quick", {"epochs": 1, "batch": 16, "warmup_epochs": 0})
    architecture = msgspec.structs.replace(small(), num_classes=24)
    train(Asked(architecture=architecture, recipe=recipe, data=data, seed=4), tmp_path / "run")

    train_beside(trained_run(tmp_path / "run"), ("repvit_m0_9",))
    trained = {each.name: each.top1 for each in members(trained_run(tmp_path / "run"))}
    found = check_run(tmp_path / "run")

    member = read_json(tmp_path / "run/family/repvit_m0_9/training.json", TrainFile)
    assert (member.asked.recipe, member.asked.data, member.asked.seed) == (recipe, data, 4)
    assert member.asked.architecture.num_classes == 24
    assert found.family[0].top1 == trained.pop("repvit_m0_9") == member.outcome.top1
    assert set(trained.values()) == {None}
    assert found.family[0].relation != ""
    assert found.family[1].relation == ""


def test_reference_networks_are_named_alone_or_all():
    assert family_names(None) == []
    assert family_names("repvit_m0_9, repvit_m0_6") == ["repvit_m0_9", "repvit_m0_6"]
    assert len(family_names("all")) == 5
    with pytest.raises(UnknownNameError, match="reference network 'm9' is not known"):
        family_names("repvit_m0_9,m9")
