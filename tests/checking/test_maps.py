"""Maps of a network against its teacher's, again."""

import msgspec
import pytest
import torch
from image_folders import write_pictures
from training_support import scripted, small

import repvit_nas
from repvit_nas.architecture import with_output
from repvit_nas.checking.maps import compared_maps
from repvit_nas.checking.validation import validated_on
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked, Matching
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.trained import load_trained, trained_run


def again(run, model=None, on=None, decoder=None):
    on = on or validated_on(run.record).maps
    return compared_maps(model or load_trained(run), run.asked, run.outcome, on, decoder)


@pytest.fixture(scope="module")
def matched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matched")
    asked = Asked(
        architecture=with_output(small(), "sam", resolution=64),
        recipe=load_recipe("match", {"epochs": 1, "batch": 4, "warmup_epochs": 0}),
        data=DataSpec(name=str(write_pictures(folder / "pictures", 20))),
        matching=Matching(teacher=scripted(folder)),
    )
    train(asked, folder / "run")
    return trained_run(folder / "run")


@pytest.fixture
def checkpoint(matched, tmp_path):
    pytest.importorskip("segment_anything")
    torch.save(repvit_nas.sam(matched.asked.architecture).state_dict(), tmp_path / "sam.pt")
    return tmp_path / "sam.pt"


def test_a_map_is_as_near_to_the_teachers_as_its_run_says(matched):
    found = again(matched)

    near = matched.outcome
    assert found.promise.kept
    assert found.promise.found.startswith(f"squared error {near.mse:.4g}, cosine {near.cosine:.4f}")


def test_other_weights_are_not_as_near(matched):
    model = load_trained(matched)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)

    assert again(matched, model).promise.kept is False


def test_each_map_is_computed_once_with_masks_too(matched, checkpoint):
    """Two pictures are validated on, in one batch."""
    model, on, asked = load_trained(matched), validated_on(matched.record).maps, []
    model.register_forward_hook(lambda *_: asked.append("network"))

    def target_of(images, places):
        asked.append("teacher")
        return on.target_of(images, places)

    found = again(matched, model, on._replace(target_of=target_of), checkpoint)

    assert sorted(asked) == ["network", "teacher"]
    assert found.masks.pictures == 2
    assert found.promise == again(matched).promise


def test_without_pictures_there_are_no_masks(matched, checkpoint):
    data = DataSpec(name="gone/pictures")
    asked = msgspec.structs.replace(matched.asked, data=data)
    run = matched._replace(record=msgspec.structs.replace(matched.record, asked=asked))

    assert again(run).promise.found == "not checked: --data gone/pictures: is no folder"
    with pytest.raises(RepvitNasError, match="--decoder: --data gone/pictures: is no folder"):
        again(run, decoder=checkpoint)
