"""A teacher's maps on disk: asked for once, and their size said first."""

import shutil

import pytest
import torch

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.embeddings import Embeddings, unkept
from repvit_nas.training.teacher import Teacher


class Counting:
    """Maps that count how many were asked for."""

    def __init__(self):
        self.made = 0

    def __call__(self, images):
        self.made += len(images)
        return images.mean((2, 3), keepdim=True) / 3


def places(*rows):
    return torch.tensor([[row, 8, 8] for row in rows])


def test_a_picture_is_asked_for_once_and_gives_the_same_ever_after(tmp_path):
    maps, images = Counting(), torch.randn(4, 3, 8, 8)
    kept = Embeddings(Teacher("t", maps, "d"), tmp_path, 4, (3, 1, 1), "pictures")

    first = kept(images[:3], places(0, 1, 2))
    again = Embeddings(Teacher("t", maps, "d"), tmp_path, 4, (3, 1, 1), "pictures")
    second = again(images[[2, 3]], places(2, 3))

    assert maps.made == 4
    assert torch.equal(second[0], first[2])
    assert torch.equal(first, maps(images[:3]).half().float())
    assert again.said() == f"maps of 4 pictures take 2.4e-08 GB in {tmp_path}; 4 are there"


def test_maps_of_another_teacher_or_other_pictures_are_others(tmp_path):
    kinds = [("t", "d", "pictures"), ("t", "e", "pictures"), ("t", "d", "others")]

    paths = {
        Embeddings(Teacher(name, Counting(), digest), tmp_path, 2, (3, 1, 1), key).path
        for name, digest, key in kinds
    }

    assert len(paths) == 3


def test_maps_that_do_not_fit_are_refused_before_they_are_made(tmp_path):
    shape = (256, 64, 64)
    pictures = shutil.disk_usage(tmp_path).free // 2 // (256 * 64 * 64) + 1

    with pytest.raises(RepvitNasError, match="GB of maps do not fit on a disk with"):
        Embeddings(Teacher("t", Counting(), "d"), tmp_path / "new", pictures, shape, "x")


def test_without_a_cache_the_teacher_is_asked_every_time():
    maps, images = Counting(), torch.randn(2, 3, 8, 8)
    target_of = unkept(maps)

    assert torch.equal(target_of(images, places(0, 1)), target_of(images, places(0, 1)))
    assert maps.made == 4
