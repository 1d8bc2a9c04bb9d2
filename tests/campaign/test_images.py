"""The images of a campaign: which they are, and whether they can tell anything."""

import pytest
from image_folders import folder

from repvit_nas.campaign.images import check_images, data_digest
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import open_data
from repvit_nas.training.spec import DataSpec


def digest(spec):
    return data_digest(spec, open_data(spec))


def test_images_of_a_folder_are_known_by_name_and_content(tmp_path):
    spec = DataSpec(name=str(folder(tmp_path)))
    before = digest(spec)
    assert digest(spec) == before
    image, other = (tmp_path / "train" / "cat" / f"{number}.png" for number in (0, 1))
    content = image.read_bytes()

    image.write_bytes(other.read_bytes())
    assert digest(spec) != before
    image.write_bytes(content)
    assert digest(spec) == before
    image.rename(image.with_name("renamed.png"))
    assert digest(spec) != before


def test_a_folder_is_the_same_wherever_it_is(tmp_path):
    here, there = (folder(tmp_path / name) for name in ("here", "there"))

    assert digest(DataSpec(name=str(here))) == digest(DataSpec(name=str(there)))


def test_drawn_images_are_known_by_what_draws_them():
    spec = DataSpec(name="shapes", train_images=48, val_images=24)

    assert digest(spec) == digest(DataSpec(name="shapes", train_images=48, val_images=24))
    assert digest(spec) != digest(DataSpec(name="shapes", train_images=48, val_images=48))


def test_too_few_images_tell_nothing_unless_that_is_accepted():
    opened = open_data(DataSpec(name="shapes", train_images=48, val_images=24))

    with pytest.raises(RepvitNasError, match="24 validation images.*hardly better.*--anyway"):
        check_images(opened, anyway=False)
    assert "24 validation images" in check_images(opened, anyway=True)
