"""Pictures in a square: scaled, padded behind the preprocessing, found in folders."""

import pytest
import torch
from image_folders import write_pictures
from PIL import Image

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.folder import FolderImages
from repvit_nas.training.pictures import (
    PaddedPictures,
    fitted,
    inside,
    open_pictures,
    pictures_digest,
)
from repvit_nas.training.spec import DataSpec


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((1200, 800), 1024, (1024, 683)), ((50, 100), 64, (32, 64)), ((7, 7000), 64, (1, 64))],
)
def test_the_longer_side_becomes_the_squares_as_sam_rounds(size, side, expected):
    assert fitted(*size, side) == expected


def test_padding_is_nothing_after_the_preprocessing(tmp_path):
    Image.new("RGB", (64, 32), (255, 0, 128)).save(tmp_path / "one.png")

    square, place = PaddedPictures(FolderImages([(tmp_path / "one.png", 0)]), 64, first=5)[0]

    assert place.tolist() == [5, 32, 64]
    assert square.shape == (3, 64, 64)
    assert not square[:, 32:].any()
    # SAM's own figures: (x - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375].
    expected = [(255 - 123.675) / 58.395, -116.28 / 57.12, (128 - 103.53) / 57.375]
    assert square[:, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


def test_pixels_of_a_map_count_where_they_lie_in_their_picture():
    places = torch.tensor([[0, 64, 33], [1, 16, 64]])

    counts = inside(places, 4, 64)

    assert counts[0, 0].tolist() == [[True, True, True, False]] * 4
    assert counts[1, 0].sum(1).tolist() == [4, 0, 0, 0]


def test_of_a_plain_folder_every_tenth_picture_is_kept_to_validate_on(tmp_path):
    opened = open_pictures(DataSpec(name=str(write_pictures(tmp_path / "a" / "b", 21))), 64)

    assert (len(opened.train), len(opened.val)) == (18, 3)
    assert opened.val[0][1][0] == 18  # places go on behind those to train on
    assert opened.classes == ()


def test_folders_to_train_and_to_validate_on_are_taken_as_they_are(tmp_path):
    write_pictures(tmp_path / "train", 3)
    write_pictures(tmp_path / "val", 2)

    opened = open_pictures(DataSpec(name=str(tmp_path), val_split="val"), 64)

    assert (len(opened.train), len(opened.val)) == (3, 2)


def test_other_pictures_have_another_digest(tmp_path):
    one = open_pictures(DataSpec(name=str(write_pictures(tmp_path / "one", 12))), 64)
    other = open_pictures(DataSpec(name=str(write_pictures(tmp_path / "other", 13))), 64)

    assert len({pictures_digest(*each) for each in ((one, 64), (one, 96), (other, 64))}) == 3


def test_pictures_that_cannot_be_learned_from_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    folder = write_pictures(tmp_path / "broken", 12)
    (folder / "03.png").write_bytes(b"\x89PNG broken")

    with pytest.raises(RepvitNasError, match="is no folder"):
        open_pictures(DataSpec(name=str(tmp_path / "nowhere")), 64)
    with pytest.raises(RepvitNasError, match="holds 0 pictures; at least one"):
        open_pictures(DataSpec(name=str(tmp_path / "empty")), 64)
    with pytest.raises(RepvitNasError, match=r"1 picture cannot be read, the first is .*03\.png"):
        open_pictures(DataSpec(name=str(folder)), 64)
    left = open_pictures(DataSpec(name=str(folder), skip_bad_images=True), 64)
    assert len(left.train) + len(left.val) == 11
