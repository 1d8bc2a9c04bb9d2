"""What is said of a data set before a training."""

from pathlib import Path

from repvit_nas.training.found import FoundImages, PassedOver, found_text, left_out

ROOT = Path("/data/train")


def test_files_are_counted_by_the_reason_and_the_first_three_named():
    files = [(ROOT / "cat" / f"{number}.txt", "no image") for number in (4, 2, 3, 1)]
    files.append((ROOT / "dog" / "a\n.png", "broken"))

    assert left_out(files, ROOT) == (
        PassedOver(reason="broken", count=1, named=("dog/a\\n.png",)),
        PassedOver(reason="no image", count=4, named=("cat/1.txt", "cat/2.txt", "cat/3.txt")),
    )
    assert left_out([], ROOT) == ()


def test_few_classes_are_listed_each_with_its_images():
    found = FoundImages(use="train", source="here", images=1201, classes={"cat": 1200, "dog": 1})

    assert found_text(found) == ["train: 2 classes, 1,201 images in here: cat 1,200, dog 1"]


def test_of_many_classes_the_smallest_and_the_largest_are_told():
    classes = {f"c{number}": number for number in range(1, 22)}

    (line,) = found_text(FoundImages(use="val", source="here", images=231, classes=classes))

    assert line == "val: 21 classes, 231 images in here: from 1 (c1) to 21 (c21) each"


def test_where_classes_are_not_counted_none_are_named():
    left = (PassedOver(reason="a broken image", count=1000, named=("a.png",)),)

    assert found_text(FoundImages(use="val", source="hf/x", images=1, left_out=left)) == [
        "val: 1 image in hf/x",
        "val: left out 1,000 (a broken image): a.png, ...",
    ]
