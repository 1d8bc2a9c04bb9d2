import gc
import io
import itertools
import json
import tarfile

import numpy as np
import pytest
import torch
from image_folders import folder
from PIL import Image
from safetensors.torch import load_file

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.boxed import DrawnShapes
from repvit_nas.training.data import open_data
from repvit_nas.training.found import found_text
from repvit_nas.training.place import Place
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec


def test_a_folder_of_images_is_opened(tmp_path):
    opened = open_data(DataSpec(name=str(folder(tmp_path))))

    assert opened.classes == ("cat", "dog")
    assert len(opened.train) == len(opened.val) == 6
    image, label = opened.train[5]
    assert (np.asarray(image)[0, 0, 0], label) == (42, 1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda root: root / "nowhere", "is no folder"),
        (lambda root: folder(root, splits=("train",)), "must hold the folders train and val"),
        (lambda root: folder(root, classes=("cat",)), r"holds one class only \('cat'\)"),
        (lambda root: folder(root, classes=(".",)), "images but no classes"),
        (lambda root: folder(root, images=0), "holds no images"),
    ],
)
def test_a_folder_that_cannot_be_trained_on_is_refused(tmp_path, build, message):
    with pytest.raises(RepvitNasError, match=message):
        open_data(DataSpec(name=str(build(tmp_path))))


def test_classes_that_differ_are_named(tmp_path):
    folder(tmp_path, classes=("cat", "dog", "owl"), splits=("train",))
    folder(tmp_path, splits=("val",))

    with pytest.raises(
        RepvitNasError, match="has 3 classes and .* has 2: .* 'owl' is only in train"
    ):
        open_data(DataSpec(name=str(tmp_path)))


def test_images_that_cannot_be_read_are_named_or_left_out_where_asked(tmp_path):
    folder(tmp_path)
    (tmp_path / "train" / "cat" / "1.png").write_bytes(b"")
    (tmp_path / "val" / "dog" / "2.png").write_bytes(b"no image at all")

    with pytest.raises(RepvitNasError, match=r"2 images cannot be read: .*1\.png, .*2\.png; mend"):
        open_data(DataSpec(name=str(tmp_path)))

    (tmp_path / "val" / "dog" / "2.png").rename(tmp_path / "train" / "dog" / "9.png")
    open_data(DataSpec(name=str(tmp_path)), to_train=False)
    (tmp_path / "train" / "dog" / "9.png").rename(tmp_path / "val" / "dog" / "2.png")

    opened = open_data(DataSpec(name=str(tmp_path), skip_bad_images=True))
    assert (len(opened.train), len(opened.val)) == (5, 5)
    assert [found.left_out[0].named for found in opened.found] == [("cat/1.png",), ("dog/2.png",)]
    assert found_text(opened.found[0]) == [
        f"train: 2 classes, 5 images in {tmp_path / 'train'}: cat 2, dog 3",
        "train: left out 1 (a broken image): cat/1.png",
    ]


def test_an_image_that_breaks_behind_its_header_is_left_out_before_it_is_used(tmp_path, asking):
    folder(tmp_path / "images", images=8)
    broken = tmp_path / "images" / "val" / "dog" / "2.png"
    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(broken)
    broken.write_bytes(broken.read_bytes()[:200])

    skipping = DataSpec(name=str(tmp_path / "images"), skip_bad_images=True)
    assert open_data(skipping).found[1].left_out[0].named == ("dog/2.png",)
    record = train(asking(skipping, classes=2, batch=4), tmp_path / "skipped")
    assert record.outcome.val_images == 15

    run = tmp_path / "run"
    with pytest.raises(RepvitNasError, match=r"2\.png: cannot be decoded; mend it"):
        train(asking(DataSpec(name=str(tmp_path / "images")), classes=2, batch=4), run)
    Image.fromarray(pixels).save(broken)
    train(asking(DataSpec(name=str(tmp_path / "images")), classes=2, batch=4), run)


def test_timms_own_names_are_taken(tmp_path):
    folder(tmp_path)
    opened = open_data(DataSpec(name="torch/folder", root=str(tmp_path), val_split="val"))

    assert opened.classes == ("cat", "dog")
    assert len(opened.train) == 6


# webdataset and datasets leave their files to the garbage collector.
LEFT_OPEN = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def shards(root, images=24):
    """Write images as webdataset's shards, two of them a split, as timm's readers expect them."""
    splits = {}
    for split in ("train", "validation"):
        names = [f"{split}-{part}.tar" for part in range(2)]
        for part, name in enumerate(names):
            with tarfile.open(root / name, "w") as archive:
                for number in range(part, images, 2):
                    file = io.BytesIO()
                    DrawnShapes(24, 32)[number][0].save(file, "png")
                    for end, data in (("png", file.getvalue()), ("cls", b"%d" % (number % 3))):
                        entry = tarfile.TarInfo(f"{number:04d}.{end}")
                        entry.size = len(data)
                        archive.addfile(entry, io.BytesIO(data))
        lengths = [images // 2] * 2
        splits[split] = {"name": split, "filenames": names, "shard_lengths": lengths}
        splits[split]["num_samples"] = images
    (root / "_info.json").write_text(json.dumps({"splits": splits}))
    return root


@LEFT_OPEN
def test_a_stream_of_shards_is_trained_on_and_gone_on_with(tmp_path, asking):
    pytest.importorskip("webdataset")
    data = DataSpec(name="wds/", root=str(shards(tmp_path)), num_classes=3)
    asked = asking(data, classes=3, epochs=2, batch=4)

    whole = train(asked, tmp_path / "whole", Place(workers=0))
    steps = itertools.count(1)

    def stop(*_):
        if next(steps) == 4:  # in the first epoch: later, webdataset shuffles on where it was
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(asked, tmp_path / "part", Place(workers=0, save_every=1), progress=stop)
    again = train(asked, tmp_path / "part", Place(workers=0), resume=True)

    assert whole.classes == ("0", "1", "2")
    assert whole.outcome.updates == again.outcome.updates == 12
    assert whole.outcome.val_images == 24
    assert 0 < whole.outcome.loss < 5
    weights = [load_file(tmp_path / run / "model.safetensors") for run in ("whole", "part")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    gc.collect()


@LEFT_OPEN
def test_a_stream_with_fewer_files_than_workers_says_so(tmp_path, asking):
    pytest.importorskip("webdataset")
    data = DataSpec(name="wds/", root=str(shards(tmp_path, images=8)), num_classes=3)

    with pytest.raises(RepvitNasError, match="gave no batch of 8 images"):
        train(asking(data, classes=3, batch=8), tmp_path / "run", Place(workers=2))
    gc.collect()


@LEFT_OPEN
def test_a_data_set_of_hugging_face_is_trained_on(tmp_path, asking):
    pytest.importorskip("datasets")
    folder(tmp_path / "images", images=8)
    data = DataSpec(name=f"hfds/{tmp_path / 'images'}", root=str(tmp_path / "cache"))

    record = train(asking(data, classes=2, batch=4), tmp_path / "run", Place(workers=0))

    gc.collect()
    assert record.outcome.val_images == 16
    assert record.outcome.updates == 4
    assert record.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DataSpec(name="torch/nothing"), "timm cannot open it"),
        (DataSpec(name=""), "--data is empty"),
        (DataSpec(name="digits", train_images=5), "--train-images means nothing for --data digits"),
        (DataSpec(name="shapes", val_images=5), "at least as many images"),
    ],
)
def test_what_cannot_be_opened_is_said(spec, message):
    with pytest.raises(RepvitNasError, match=message):
        open_data(spec)
