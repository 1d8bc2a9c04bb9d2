"""Images in folders: what counts as a class, as an image, and as neither."""

import pytest
from image_folders import folder

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import open_data
from repvit_nas.training.folder import scan
from repvit_nas.training.spec import DataSpec


def test_a_class_without_a_readable_image_is_refused(tmp_path):
    folder(tmp_path, images=1)
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"")

    with pytest.raises(RepvitNasError, match="no readable image is left of class 'cat'"):
        open_data(DataSpec(name=str(tmp_path), skip_bad_images=True))


def test_what_systems_leave_beside_images_is_no_class(tmp_path):
    train = folder(tmp_path, images=2, splits=("train",)) / "train"
    (train / "__MACOSX").mkdir()
    (train / "__MACOSX" / "cat.png").write_bytes((train / "cat" / "0.png").read_bytes())
    (train / "cat" / ".hidden.png").write_bytes(b"")
    (train / "Thumbs.db").write_bytes(b"")
    (train / "loose.png").write_bytes((train / "cat" / "0.png").read_bytes())
    (train / "cat" / "notes.txt").write_text("no image")
    (train / "empty").mkdir()

    found = scan(train, whole=True)

    assert found.classes == ("cat", "dog")
    assert [(path.parent.name, path.name, label) for path, label in found.samples] == [
        ("cat", "0.png", 0), ("cat", "1.png", 0), ("dog", "0.png", 1), ("dog", "1.png", 1),
    ]  # fmt: skip
    assert {(each.reason, each.named) for each in found.left_out} == {
        ("hidden, or left by a system", ("Thumbs.db", "__MACOSX/cat.png", "cat/.hidden.png")),
        ("in no class folder", ("loose.png",)),
        ("no image that can be read", ("cat/notes.txt",)),
        ("a folder without images", ("empty",)),
    }
    assert found.found("train").classes == {"cat": 2, "dog": 2}


def test_classes_are_numbered_as_people_count(tmp_path):
    train = folder(tmp_path, classes=("c10", "c9", "c1"), images=1, splits=("train",)) / "train"

    assert scan(train, whole=False).classes == ("c1", "c9", "c10")


def test_images_below_a_class_are_its_and_a_circle_of_links_ends(tmp_path):
    train = folder(tmp_path, classes=("cat",), images=1, splits=("train",)) / "train"
    (train / "cat" / "more").mkdir()
    (train / "cat" / "0.png").rename(train / "cat" / "more" / "0.png")
    (train / "cat" / "more" / "back").symlink_to(train)

    (sample,) = scan(train, whole=False).samples

    assert sample == (train / "cat" / "more" / "0.png", 0)


def test_a_folder_of_loose_images_says_what_it_lacks(tmp_path):
    train = folder(tmp_path, classes=("cat",), images=1, splits=("train",)) / "train"
    (train / "cat" / "0.png").rename(train / "0.png")

    with pytest.raises(RepvitNasError, match="holds images but no classes; put them into"):
        scan(train, whole=False)
    (train / "0.png").unlink()
    with pytest.raises(RepvitNasError, match="holds no images; it must hold"):
        scan(train, whole=False)
