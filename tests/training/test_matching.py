"""A network learns a teacher's map: what counts, and that it goes on to the bit."""

import csv
import json

import msgspec
import pytest
import torch
from image_folders import write_pictures
from safetensors.torch import load_file
from training_support import assert_learned_alike, map_network, scripted, small, torchrun

import repvit_nas
from repvit_nas.architecture import with_output
from repvit_nas.checking.check import check_run
from repvit_nas.errors import RepvitNasError
from repvit_nas.network import reparameterize
from repvit_nas.training.matching import MatchTask, map_errors, map_shape, refuse_augmentation
from repvit_nas.training.place import Place
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked, Matching, read_training
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec

ENCODER = with_output(small(), "sam", resolution=64)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("match")
    changes = {"epochs": 3, "batch": 4, "lr": 0.02, "warmup_epochs": 0, "ema": 0.9, "accumulate": 2}
    return Asked(
        architecture=ENCODER,
        recipe=load_recipe("match", changes),
        data=DataSpec(name=str(write_pictures(folder / "pictures", 36))),
        matching=Matching(teacher=scripted(folder), cosine=0.5),
    )


@pytest.fixture(scope="module")
def matched(asked, tmp_path_factory):
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("matched") / "run"
    said = []
    return train(asked, run, say=said.append), run, said


def log(folder):
    with (folder / "log.csv").open() as file:
        return [
            {name: value for name, value in row.items() if name != "images_per_s"}
            for row in csv.DictReader(file)
        ]


def test_the_map_comes_nearer_and_the_size_of_what_is_kept_is_said_first(matched):
    record, run, said = matched
    rows = log(run)

    losses = [float(row["loss"]) for row in rows]
    assert losses[-1] < 0.95 * losses[0]
    assert record.matched.mse == pytest.approx(float(rows[-1]["mse"]))
    assert record.outcome is None
    sizes = next(i for i, line in enumerate(said) if line.startswith("maps of 36 pictures take"))
    assert sizes < next(i for i, line in enumerate(said) if line.startswith("epoch 1/3"))
    assert not (run / "maps").exists()  # it is only needed to go on
    encoder = repvit_nas.load(run)
    assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, 256, 4, 4)


def test_a_run_that_was_interrupted_goes_on_to_the_same_weights(asked, matched, tmp_path):
    _, whole, _ = matched
    steps = iter(range(100))

    def interrupt(*_):
        if next(steps) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(asked, tmp_path / "run", Place(save_every=1), progress=interrupt)
    train(asked, tmp_path / "run", resume=True)

    one, other = (load_file(each / "model.safetensors") for each in (tmp_path / "run", whole))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert log(tmp_path / "run") == log(whole)


def test_check_finds_the_promised_error_again(matched):
    _, run, _ = matched

    found = check_run(run, keep=False)

    promise = next(each for each in found.promises if each.name == "embedding")
    assert promise.kept
    assert "on 4 pictures" in promise.found
    # Beside an encoder stand encoders: SAM's neck on 384 channels has two convolutions and two norms.
    backbone = reparameterize(repvit_nas.load("repvit_m0_9", output="features"))
    neck = 256 * 384 + 9 * 256 * 256 + 2 * 2 * 256
    assert found.family[0].params == sum(each.numel() for each in backbone.parameters()) + neck


def test_check_takes_pictures_from_where_they_are_now(matched, tmp_path):
    write_pictures(tmp_path / "moved", 36)

    found = check_run(matched[1], keep=False, data=str(tmp_path / "moved"))
    nowhere = check_run(matched[1], keep=False, data=str(tmp_path / "nowhere"))

    assert next(each for each in found.promises if each.name == "embedding").kept
    promise = next(each for each in nowhere.promises if each.name == "embedding")
    assert promise.kept is None
    assert "nowhere: is no folder" in promise.found


def test_the_run_of_another_teacher_is_another_run(asked, matched, tmp_path):
    _, run, _ = matched
    again = msgspec.structs.replace(asked, matching=Matching(teacher="other.pt"))

    with pytest.raises(RepvitNasError, match="was started with other arguments: matching"):
        train(again, run, resume=True)
    assert json.loads((run / "training.json").read_text())["asked"]["matching"]["cosine"] == 0.5


def test_what_is_padded_changes_nothing():
    """Neither the picture's padding nor what the teacher's map says of it."""
    torch.manual_seed(0)
    model = repvit_nas.load(ENCODER)
    teacher = map_network()
    images = torch.randn(2, 3, 64, 64)
    places = torch.tensor([[0, 32, 64], [1, 64, 16]])
    other = images.clone()
    other[0, :, 32:] = 7.0
    other[1, :, :, 16:] = -7.0

    def loss(taken, target_of):
        task = MatchTask(model.eval(), target_of, 0.5, torch.device("cpu"))
        return task(taken, places)["loss"]

    def noisy(pictures, _):
        maps = teacher(pictures)
        maps[0, :, 2:] += 100.0
        maps[1, :, :, 1:] -= 100.0
        return maps

    plain = loss(images, lambda pictures, _: teacher(pictures))
    assert torch.equal(plain, loss(other, lambda pictures, _: teacher(pictures)))
    assert torch.equal(plain, loss(images, noisy))


def test_errors_are_means_over_the_pixels_of_the_picture():
    """By hand: a map of two channels and four pixels, of which two count."""
    wanted = torch.zeros(1, 2, 2, 2)
    wanted[0, 0] = 1.0
    found = torch.zeros(1, 2, 2, 2)
    found[0, 0, 0, 0] = 3.0  # alike, off by 2 in one of two channels
    found[0, 1, 0, 1] = 1.0  # at a right angle, off by 1 in both
    places = torch.tensor([[0, 16, 32]])

    errors = map_errors(found, wanted, places, 32)

    assert errors.mse.tolist() == [pytest.approx((2.0**2 / 2 + 1.0) / 2)]
    assert errors.cosine.tolist() == [pytest.approx(0.5)]


def test_what_has_no_map_or_changes_pictures_is_refused():
    with pytest.raises(
        RepvitNasError, match="small hands back logits; a map is matched by one with"
    ):
        map_shape(small())
    with pytest.raises(RepvitNasError, match="hflip means nothing where a map is matched"):
        refuse_augmentation(load_recipe("match", {"hflip": 0.5}))


@pytest.mark.slow
def test_two_processes_match_as_one_does_that_adds_up_two_batches(asked, tmp_path):
    """The same pictures in an update, the same maps, kept in one file by both processes."""
    recipe = msgspec.structs.replace(asked.recipe, accumulate=1)
    both = msgspec.structs.replace(asked, recipe=recipe, processes=2)

    done = torchrun(tmp_path, both)
    alone = train(asked, tmp_path / "alone")

    assert done.returncode == 0, done.stderr[-3000:]
    record = read_training(tmp_path / "run")
    assert record.matched.updates == alone.matched.updates == 12  # 32 pictures, 2 x 4 in an update
    assert record.matched.val_images == alone.matched.val_images == 4
    assert_learned_alike(tmp_path / "run", tmp_path / "alone")
    with pytest.raises(RepvitNasError, match="other arguments: .*processes 2 -> 1"):
        train(msgspec.structs.replace(both, processes=1), tmp_path / "run", resume=True)
