import numpy as np
import pytest
import torch
from PIL import Image

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import open_data
from repvit_nas.training.loading import World, mixed, posterize, train_batches, val_batches
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.spec import DataSpec

CPU = torch.device("cpu")
HARD = {
    "batch": 8,
    "augment": "rand-m9-mstd0.5-inc1",
    "erasing": 0.9,
    "mixup": 0.8,
}


def batches_from(start, *, workers=0, epoch=1, recipe=None, seed=3, images=56):
    opened = open_data(DataSpec(name="shapes", train_images=images, val_images=24), 32)
    recipe = recipe or load_recipe("quick", HARD)
    found = train_batches(
        opened.train, recipe, 32, seed=seed, world=World(), device=CPU, workers=workers
    )
    found.order.go_to(epoch, start)
    return [(x.clone(), y.clone()) for x, y in found.loader]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a, b) and torch.equal(c, d)
        for (a, c), (b, d) in zip(first, second, strict=True)
    )


def test_an_epoch_entered_in_the_middle_gives_the_same_batches():
    whole = batches_from(0)

    assert len(whole) == 7
    assert same(batches_from(4), whole[4:])
    torch.manual_seed(99)  # what happened before does not count
    np.random.seed(99)  # noqa: NPY002  # timm draws from it
    assert same(batches_from(6), whole[6:])


def test_the_number_of_workers_changes_nothing():
    assert same(batches_from(0, workers=2), batches_from(0))


def test_epochs_and_seeds_differ():
    first = batches_from(0)

    assert not same(batches_from(0, epoch=2), first)
    assert not same(batches_from(0, seed=4), first)


def test_an_image_comes_once_in_an_epoch_and_processes_share_them():
    opened = open_data(DataSpec(name="shapes", train_images=64, val_images=24), 32)
    recipe = load_recipe("quick", HARD)
    seen = []
    for rank in range(2):
        found = train_batches(
            opened.train, recipe, 32, seed=0, world=World(rank, 2), device=CPU, workers=0
        )
        found.order.go_to(0, 0)
        seen += [index for batch in found.order for _, index in batch]

    assert sorted(seen) == list(range(64))


def test_repeated_augmentation_takes_each_image_three_times_within_the_same_epoch_length():
    opened = open_data(DataSpec(name="shapes", train_images=256, val_images=24), 32)
    recipe = load_recipe("quick", HARD | {"repeats": 3})
    found = train_batches(opened.train, recipe, 32, seed=0, world=World(), device=CPU, workers=0)
    found.order.go_to(0, 0)
    keys = [key for batch in found.order for key in batch]

    assert len(keys) == 256
    counts = np.bincount(np.bincount([index for _, index in keys]))
    assert counts[3] == 85  # 85 times 3, and the first copy of one more
    assert len({seed for seed, _ in keys}) == 256  # each copy is augmented in its own way


def test_seeds_depend_on_every_number_and_their_order():
    assert mixed(1, 2) != mixed(2, 1)
    assert len({mixed(a, b) for a in range(50) for b in range(50)}) == 2500
    # splitmix64 of 0, the first output of the reference implementation's generator: e220a839...
    assert mixed(0) == 0xE220A8397B1DCDAF & 0xFFFFFFFF


class Streamed(torch.utils.data.IterableDataset):
    """Images that come in one order only."""

    def __init__(self, images):
        self.images = images
        self.epoch = None
        self.transform = None

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.images)

    def __iter__(self):
        self.images.transform = self.transform
        return (self.images[index] for index in range(len(self.images)))


def test_a_stream_is_read_again_up_to_the_place():
    opened = open_data(DataSpec(name="shapes", train_images=56, val_images=24), 32)
    recipe = load_recipe("quick", {"batch": 8, "accumulate": 2})
    streamed = Streamed(opened.train)
    found = train_batches(streamed, recipe, 32, seed=0, world=World(), device=CPU, workers=0)
    found.order.go_to(3, 0)
    whole = [(x.clone(), y) for x, y in found.loader]
    found.order.go_to(3, 2)

    assert len(whole) == 6  # of 7 batches, three updates of two
    assert streamed.epoch == 3
    assert same([(x.clone(), y) for x, y in found.loader], whole[2:])


def test_fewer_images_than_a_batch_are_refused():
    recipe = load_recipe("quick", {"batch": 32, "accumulate": 2})

    with pytest.raises(RepvitNasError, match="56 images .* fewer than the 64 of one update"):
        batches_from(0, recipe=recipe)


def test_an_image_that_breaks_off_is_named_while_it_is_decoded(tmp_path):
    for split in ("train", "val"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / name / "0.png")
    whole = (tmp_path / "train" / "a" / "0.png").read_bytes()
    (tmp_path / "val" / "a" / "0.png").write_bytes(whole[: len(whole) // 2])
    opened = open_data(DataSpec(name=str(tmp_path)))
    recipe = load_recipe("quick", {"batch": 2})

    with pytest.raises(RepvitNasError, match=r"val/a/0\.png: cannot be decoded"):
        list(val_batches(opened.val, recipe, 32, world=World(), device=CPU, workers=0))


def test_the_strongest_posterizing_is_black_as_it_was_before_pillow_refused_it():
    image = Image.new("RGB", (4, 4), (200, 100, 50))

    assert posterize(image, 0).getpixel((0, 0)) == (0, 0, 0)
    assert posterize(image, 1).getpixel((0, 0)) == (128, 0, 0)


def test_validation_images_come_in_order_and_whole():
    opened = open_data(DataSpec(name="shapes", train_images=24, val_images=50), 32)
    recipe = load_recipe("quick", {"batch": 16})
    loader = val_batches(opened.val, recipe, 32, world=World(), device=CPU, workers=0)

    assert torch.cat([y for _, y in loader]).tolist() == [i % 24 for i in range(50)]
