"""The images that forms are compared on."""

import msgspec
import numpy as np
import pytest
import torch

from repvit_nas.errors import RepvitNasError
from repvit_nas.export.images import DrawnImages, batches, drawn, run_images
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import read_training
from repvit_nas.training.spec import DataSpec


def test_drawn_images_repeat_and_differ_and_half_of_them_are_noise():
    images, again = DrawnImages(6, 24), DrawnImages(6, 24)
    pixels = [np.array(images[index][0]) for index in range(6)]

    assert len(images) == 6
    assert all(item.shape == (24, 24, 3) for item in pixels)
    assert all((np.array(again[index][0]) == item).all() for index, item in enumerate(pixels))
    assert len({item.tobytes() for item in pixels}) == 6
    # Neighbours in noise of 0 to 255 differ by a third of that in the mean, in outlines far less.
    steps = [np.abs(np.diff(item.astype(int), axis=1)).mean() for item in pixels]
    assert all(step == pytest.approx(255 / 3, rel=0.2) for step in steps[1::2])
    assert all(step < 50 for step in steps[::2])


@pytest.mark.parametrize("index", [-1, 6])
def test_there_are_no_more_drawn_images_than_asked_for(index):
    with pytest.raises(IndexError, match=f"there are 6 images; got {index}"):
        DrawnImages(6, 24)[index]


@pytest.mark.parametrize(("limit", "sizes"), [(None, [64, 6]), (5, [5]), (64, [64]), (66, [64, 2])])
def test_images_come_in_parts_and_end_at_the_limit(limit, sizes):
    found = list(batches(DrawnImages(70, 32), load_recipe("quick"), 32, limit))

    assert [len(part) for part in found] == sizes
    assert found[0].shape[1:] == (3, 32, 32)
    assert found[0].dtype == torch.float32


def test_a_runs_own_images_are_taken_where_they_are(run):
    chosen = run_images(read_training(run))

    assert (len(chosen.images), chosen.words, chosen.missing) == (
        48, "validation images of shapes", "",
    )  # fmt: skip


def test_drawn_ones_stand_for_images_that_are_not_here_but_not_for_those_asked_for(run):
    record = read_training(run)
    asked = msgspec.structs.replace(record.asked, data=DataSpec(name="gone/pictures"))
    moved = msgspec.structs.replace(record, asked=asked)

    chosen = run_images(moved)

    assert chosen.missing == "--data gone/pictures: is no folder"
    assert (chosen.words, len(chosen.images)) == ("32 random and drawn images", 32)
    assert chosen.images[0][0].size == drawn(32, "x").images[0][0].size == (32, 32)
    with pytest.raises(RepvitNasError, match="--data nowhere/at/all: is no folder"):
        run_images(moved, "nowhere/at/all")
