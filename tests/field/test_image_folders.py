"""What people keep in folders of images, and what was reported where it went wrong elsewhere."""

import json
import os

import numpy as np
import pytest
from PIL import Image
from training_support import small

from repvit_nas.architecture import write_architecture
from repvit_nas.commands import _run
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.data import open_data
from repvit_nas.training.folder import scan
from repvit_nas.training.found import found_text
from repvit_nas.training.spec import DataSpec


def picture(path, shade=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((12, 10, 3), shade, dtype=np.uint8)).save(path, **options)
    return path


def splits(root, *names, end="png"):
    """Write one image for each name, `CLASS/...`, into train and val."""
    for split in ("train", "val"):
        for shade, name in enumerate(names):
            picture(root / split / f"{name}.{end}", shade)
    return DataSpec(name=str(root))


def test_the_class_is_the_first_folder_whatever_lies_below(tmp_path):
    """https://github.com/pytorch/vision/pull/80."""
    names = [
        f"{kind}/{year}/a/{n}" for kind in ("cat", "dog") for year in (2023, 2024) for n in "12"
    ]
    opened = open_data(splits(tmp_path, *names))

    assert opened.classes == ("cat", "dog")
    assert [opened.train[index][1] for index in range(8)] == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints",  # https://github.com/open-mmlab/mmpretrain/issues/507
        ".hidden",  # https://github.com/pytorch/vision/issues/2831
        "__MACOSX",
        "@eaDir",
        "$RECYCLE.BIN",
        "lost+found",
    ],
)
@pytest.mark.parametrize("place", ["", "cat", "cat/2023"])
def test_folders_that_no_person_calls_a_class_hold_no_images(tmp_path, name, place):
    spec = splits(tmp_path, "cat/1", "dog/1")
    picture(tmp_path / "train" / place / name / "thumb.png")
    opened = open_data(spec)

    assert opened.classes == ("cat", "dog")
    assert len(opened.train) == 2
    (left,) = opened.found[0].left_out
    assert (left.reason, left.count) == ("hidden, or left by a system", 1)
    assert left.named[0].endswith(f"{name}/thumb.png")


def test_an_empty_folder_is_no_class(tmp_path):
    """https://github.com/pytorch/vision/issues/4925."""
    spec = splits(tmp_path, "cat/1", "dog/1")
    (tmp_path / "train" / "owl").mkdir()
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "1.txt").write_text("0 0.5 0.5 1 1")
    opened = open_data(spec)

    assert opened.classes == ("cat", "dog")
    assert {(each.reason, each.named) for each in opened.found[0].left_out} == {
        ("a folder without images", ("labels", "owl")),
        ("no image that can be read", ("labels/1.txt",)),
    }


def test_files_beside_classes_and_images_are_counted_and_named(tmp_path):
    """https://github.com/pytorch/vision/issues/109."""
    spec = splits(tmp_path, "cat/1", "dog/1")
    train_folder = tmp_path / "train"
    (train_folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (train_folder / "cat" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (train_folder / "cat" / "._1.png").write_bytes(b"\0\5\x16\7")
    (train_folder / "cat" / "notes.txt").write_text("blurred")
    (train_folder / "dog" / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (train_folder / "dog" / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    picture(train_folder / "loose.png")

    assert found_text(open_data(spec).found[0]) == [
        f"train: 2 classes, 2 images in {train_folder}: cat 1, dog 1",
        "train: left out 3 (hidden, or left by a system): .DS_Store, cat/._1.png, cat/Thumbs.db",
        "train: left out 1 (in no class folder): loose.png",
        "train: left out 3 (no image that can be read): cat/notes.txt, dog/clip.mp4, dog/photo.heic",
    ]


@pytest.mark.parametrize("end", ["webp", "bmp", "gif", "tif", "tiff", "ppm", "tga", "jp2", "ico"])
def test_whatever_pillow_reads_is_an_image(tmp_path, end):
    opened = open_data(splits(tmp_path, "cat/1", "dog/1", end=end))

    assert [len(opened.train), len(opened.val)] == [2, 2]
    assert opened.train[1][0].mode == "RGB"


def test_the_content_counts_not_the_name(tmp_path):
    spec = splits(tmp_path, "cat/1", "dog/1")
    picture(tmp_path / "train" / "cat" / "2.png").rename(tmp_path / "train" / "cat" / "photo")
    picture(tmp_path / "train" / "dog" / "2.png").rename(tmp_path / "train" / "dog" / "2.JPEG")

    assert found_text(open_data(spec).found[0])[0].endswith(": cat 2, dog 2")


def test_links_are_followed_and_circles_are_not(tmp_path):
    picture(tmp_path / "elsewhere" / "1.png")
    splits(tmp_path / "data", "dog/1")
    (tmp_path / "data" / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "data" / "train")

    split = scan(tmp_path / "data" / "train", whole=False)

    assert split.classes == ("cat", "dog")
    assert len(split.samples) == 2


def test_many_classes_are_told_by_the_smallest_and_the_largest(tmp_path):
    names = [f"class{number:02}/1" for number in range(30)]
    spec = splits(tmp_path, *names, "class07/2")

    (line,) = found_text(open_data(spec).found[0])
    assert line.startswith("train: 30 classes, 31 images in ")
    assert line.endswith(": from 1 (class00) to 2 (class07) each")


def test_what_was_found_is_said_before_training_and_kept(tmp_path, capsys):
    splits(tmp_path / "data", *(f"{name}/sub/{n}" for name in ("cat", "dog") for n in range(4)))
    (tmp_path / "data" / "train" / "cat" / "notes.txt").write_text("")
    write_architecture(tmp_path / "small.json", small())
    words = ["train", str(tmp_path / "small.json"), "--data", str(tmp_path / "data"), "--threads"]
    words += ["1", "--epochs", "1", "--batch", "4", "--resolution", "32", "--json"]

    assert _run([*words, "--out", str(tmp_path / "run")], debug=True) == 0

    printed = capsys.readouterr()
    assert "train: 2 classes, 8 images" in printed.err
    record = json.loads(printed.out)
    assert record == json.loads((tmp_path / "run" / "training.json").read_text())
    assert record["images"][0]["classes"] == {"cat": 4, "dog": 4}
    assert record["images"][0]["left_out"][0]["named"] == ["cat/notes.txt"]
    assert [each["use"] for each in record["images"]] == ["train", "val"]


def test_the_split_that_is_asked_for_is_the_one_that_is_used(tmp_path):
    splits(tmp_path, "cat/1", "dog/1")
    for name in ("cat/1", "cat/2", "dog/1"):
        picture(tmp_path / "test" / f"{name}.png")
    opened = open_data(DataSpec(name=str(tmp_path), val_split="test"))

    assert opened.found[1].source == str(tmp_path / "test")
    assert len(opened.val) == 3
    swapped = DataSpec(name=str(tmp_path), train_split="test", val_split="train")
    assert [len(images) for images in open_data(swapped)[:2]] == [3, 2]
    with pytest.raises(RepvitNasError, match="has no folder 'dev'; it has: test, train, val"):
        open_data(DataSpec(name=str(tmp_path), val_split="dev"))
    with pytest.raises(RepvitNasError, match="would be trained on and validated on"):
        open_data(DataSpec(name=str(tmp_path), val_split="train"))


def test_one_who_validates_needs_no_folder_to_train_on(tmp_path):
    splits(tmp_path, "cat/1", "dog/1")
    for path in sorted((tmp_path / "train").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "train").rmdir()

    assert len(open_data(DataSpec(name=str(tmp_path)), to_train=False).val) == 2


def test_images_of_timms_data_sets_are_prepared_as_those_of_folders(tmp_path):
    """A grey image of 16 bits through torchvision's folder, whose own reader makes it white."""
    for split in ("train", "val"):
        for shade, name in ((20_000, "cat"), (40_000, "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(4):
                grey = np.full((32, 32), shade, dtype=np.uint16)
                Image.fromarray(grey).save(tmp_path / split / name / f"{number}.png")
    named = open_data(DataSpec(name="torch/folder", root=str(tmp_path), val_split="val"))
    plain = open_data(DataSpec(name=str(tmp_path)))

    assert named.train[0][0].getpixel((0, 0)) == plain.train[0][0].getpixel((0, 0)) == (78, 78, 78)


def test_names_that_no_terminal_shows_are_written_out(tmp_path):
    spec = splits(tmp_path, "cat/1", "dog/1")
    (tmp_path / "train" / "cat" / "a\x1b[2Jb.txt").write_text("")
    (tmp_path / "train" / "cat" / os.fsdecode(b"caf\xe9.txt")).write_text("")
    said = "\n".join(found_text(open_data(spec).found[0]))

    assert "\x1b" not in said
    assert "a\\x1b[2Jb.txt" in said
    said.encode()  # as every file of ours is written
    picture(tmp_path / "train" / "b\x1b[2Jd" / "1.png")
    with pytest.raises(RepvitNasError, match="a class must have a name that can be printed"):
        open_data(spec)


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    spec = splits(tmp_path, "cat/1", "dog/1")
    (tmp_path / "train" / "cat" / "deep").symlink_to("deep")  # a link to itself holds nothing
    assert "deep" in found_text(open_data(spec).found[0])[1]
    if os.geteuid():  # nothing is closed to root
        (tmp_path / "train" / "cat" / "closed").mkdir(mode=0)
        with pytest.raises(FileError, match="closed: cannot be read: Permission denied"):
            open_data(spec)


def test_a_data_set_of_timms_with_a_class_that_is_none_is_refused(tmp_path):
    """https://github.com/pytorch/vision/issues/2831."""
    for name in ("cat/1", "dog/1", ".ipynb_checkpoints/1"):
        for split in ("train", "val"):
            picture(tmp_path / split / f"{name}.png")
    spec = DataSpec(name="torch/folder", root=str(tmp_path), val_split="val")

    with pytest.raises(RepvitNasError, match="'.ipynb_checkpoints' would be a class"):
        open_data(spec)
