"""Batches whose every random number follows from the seed and their place.

What the loader hands out for batch 1,234 of epoch 7 does not depend on what was handed out before,
by how many workers, or in which process of which life: so a run that goes on in the middle of an
epoch sees what it would have seen.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from timm.data import auto_augment
from timm.data.distributed_sampler import RepeatAugSampler
from timm.data.loader import create_loader
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, Sampler

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.folder import FolderImages
from repvit_nas.training.images import upright_rgb
from repvit_nas.training.recipe import NONE, Recipe

if TYPE_CHECKING:
    from repvit_nas.training.data import Images

_MASK: Final = (1 << 64) - 1
# Which kind of random number a seed is for.
SAMPLE, BATCH, STEP = range(3)
# timm's rounding of epochs with repeated augmentation.
_ROUND: Final = 256


def posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    """Keep the `bits` highest bits of each channel.

    As timm's, which asks Pillow for no bits at the strongest level; Pillow refuses that since 13.
    """
    if bits < 1:
        return image.point(lambda _: 0)
    kept: Image.Image = auto_augment.posterize(image, bits)  # type: ignore[no-untyped-call]
    return kept


def mend(transform: Any) -> None:
    """Replace timm's posterizing in the policies that a transform holds."""
    for step in getattr(transform, "transforms", ()):
        for operation in getattr(step, "ops", ()):
            if getattr(operation, "aug_fn", None) is auto_augment.posterize:
                operation.aug_fn = posterize


class Prepared:
    """Turns an image of any kind into what the network takes: first upright RGB, as every image.

    Args:
        transform: timm's, of an RGB image.
    """

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __call__(self, image: Image.Image) -> Any:
        """Prepare an image."""
        return self.transform(upright_rgb(image))


class World(NamedTuple):
    """Which of how many processes this is."""

    rank: int = 0
    processes: int = 1


def mixed(*numbers: int) -> int:
    """Return 32 bits that depend on every bit of `numbers` and on their order (splitmix64)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state & 0xFFFFFFFF


def seed_everything(seed: int) -> None:
    """Seed every random number generator that timm's parts draw from."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # timm's transforms draw from the global one
    # Not `torch.manual_seed`: it writes down the stack for devices that nobody uses, which takes as
    # long as drawing a small image.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed(seed)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


class Plain:
    """Images asked for by their index, that name what cannot be read.

    Args:
        base: The images.
    """

    def __init__(self, base: "Images") -> None:
        self.base = base

    @property
    def transform(self) -> Any:
        """What turns an image into what the network takes."""
        return self.base.transform

    @transform.setter
    def transform(self, value: Any) -> None:
        self.base.transform = value

    def __len__(self) -> int:
        """Count the images."""
        return len(self.base)

    def __getitem__(self, key: Any) -> tuple[Any, int]:
        """Return image and class."""
        return read_sample(self.base, key)


class Keyed(Plain):
    """Images asked for by the seed of their sample and their index."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[Any, int]:
        """Return image and class of `(seed of the sample, index)`."""
        seed, index = key
        seed_everything(seed)
        return read_sample(self.base, index)


def read_sample(images: "Images", index: int) -> tuple[Any, int]:
    """Return image and class, or say which image it is that cannot be read.

    Raises:
        RepvitNasError: It cannot be read.
    """
    try:
        return images[index]
    except (OSError, RuntimeError, SyntaxError) as error:
        named = getattr(images, "filename", None)
        name = named(index, absolute=True) if named else f"image {index}"
        left = ", or leave such images out with --skip-bad-images"
        raise RepvitNasError(
            f"{name}: cannot be decoded; mend it{left * isinstance(images, FolderImages)}"
        ) from error


class Order(Sampler[list[tuple[int, int]]]):
    """The batches of an epoch, each a list of keys for :class:`Keyed`.

    Several processes deal out the batches of one order in turn, so that an update is made of the same
    batches by two processes as by one that adds up twice as many. Repeated images are dealt out by timm
    instead, which gives the copies of an image to different processes.

    Args:
        images: How many images there are.
        recipe: The size of a batch, and how often an image comes.
        seed: Which order.
        world: Which of how many processes this is.
    """

    def __init__(self, images: "Images", recipe: Recipe, seed: int, world: World) -> None:
        self.recipe = recipe
        self.seed = seed
        self.world = world
        self.epoch = 0
        self.start = 0
        self.sampler: Any
        dealt = recipe.repeats > 1  # by the sampler
        self._rank, self._turn = (world.rank, World()) if dealt else (0, world)
        if dealt:
            self.sampler = RepeatAugSampler(  # type: ignore[no-untyped-call]
                images,
                num_replicas=world.processes,
                rank=world.rank,
                num_repeats=recipe.repeats,
                selected_round=_ROUND if len(images) >= _ROUND else 0,
            )
        else:
            self.sampler = DistributedSampler(
                images,  # type: ignore[arg-type]  # it is only counted
                num_replicas=1,
                rank=0,
                seed=seed % (1 << 32),
            )
        share = len(self.sampler) // self._turn.processes
        self.batches = share // recipe.batch // recipe.accumulate * recipe.accumulate
        if not self.batches:
            raise RepvitNasError(
                f"{share:,} images for this process are fewer than the "
                f"{recipe.batch * recipe.accumulate:,} of one update; give a smaller --batch"
            )

    def go_to(self, epoch: int, start: int) -> None:
        """Set which epoch comes next, and after how many of its batches it begins."""
        self.epoch, self.start = epoch, start
        # timm's sampler shuffles by the epoch alone.
        shift = mixed(self.seed) if self.recipe.repeats > 1 else 0
        self.sampler.set_epoch(epoch + shift)

    def __len__(self) -> int:
        """Count the batches that come."""
        return self.batches - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Return the batches that come."""
        size = self.recipe.batch
        indices: Sequence[int] = list(self.sampler)
        for batch in map(self._number, range(self.start, self.batches)):
            places = range(batch * size, (batch + 1) * size)
            yield [(self._seed(SAMPLE, place), int(indices[place])) for place in places]

    @property
    def reads_from(self) -> int:
        """The first batch of this epoch that is read."""
        return self.start

    def _number(self, batch: int) -> int:
        """Return which batch of the order is this process's batch of a number."""
        return batch * self._turn.processes + self._turn.rank

    def _seed(self, kind: int, place: int) -> int:
        return mixed(self.seed, kind, self.epoch, self._rank, place)

    def key(self, kind: int, batch: int) -> int:
        """Return the seed of a batch or of a step of this epoch."""
        return self._seed(kind, self._number(batch))


class Seeded:
    """A loader that seeds each batch: what is read in this process, and what is done to it whole."""

    def __init__(self, loader: Any, order: "Order | Stream") -> None:
        self.loader = loader
        self.order = order

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        first = self.order.reads_from
        seed_everything(self.order.key(BATCH, first))  # from which workers take theirs
        batches = iter(self.loader)
        for place in itertools.count(first):
            seed = self.order.key(BATCH, place)
            seed_everything(seed)
            try:
                batch = next(batches)
            except StopIteration:
                return
            seed_everything(seed)  # the same, however much was read in worker processes
            yield batch


class Stream:
    """Batches of a data set that can only be read in its own order.

    To go on in the middle of an epoch, it is read again up to there.
    """

    def __init__(self, loader: Any, images: Any, recipe: Recipe, order_seed: int) -> None:
        self.loader = loader
        self.images = images
        self.recipe = recipe
        self.seed = order_seed
        self.epoch = 0
        self.start = 0
        self.batches = len(loader) // recipe.accumulate * recipe.accumulate

    def go_to(self, epoch: int, start: int) -> None:
        """Set which epoch comes next, and after how many of its batches it begins."""
        self.epoch, self.start = epoch, start
        self.images.set_epoch(epoch)

    @property
    def reads_from(self) -> int:
        """The first batch of an epoch that is read, though not the first that comes."""
        return 0

    def key(self, kind: int, place: int) -> int:
        """Return the seed of a batch or of a step at a place of this epoch."""
        return mixed(self.seed, kind, self.epoch, place)

    def __iter__(self) -> Iterator[Any]:
        """Return the batches that come."""
        return itertools.islice(iter(self.loader), self.start, self.batches)


class Batches(NamedTuple):
    """The batches to train on, and what says which come next."""

    loader: Any
    order: Order | Stream


def train_batches(
    images: "Images",
    recipe: Recipe,
    resolution: int,
    *,
    seed: int,
    world: World,
    device: torch.device,
    workers: int,
    flip: bool = True,
) -> Batches:
    """Return timm's loader of augmented batches, in an order that can be entered anywhere.

    Raises:
        RepvitNasError: There are fewer images than one update takes.
    """
    streamed = isinstance(images, IterableDataset)
    dataset: Any = images if streamed else Keyed(images)
    loader = create_loader(
        dataset,
        input_size=(3, resolution, resolution),
        batch_size=recipe.batch,
        is_training=True,
        re_prob=recipe.erasing,
        re_mode="pixel",
        scale=recipe.scale,
        ratio=recipe.ratio,
        hflip=recipe.hflip if flip else 0.0,
        color_jitter=recipe.color_jitter or None,  # type: ignore[arg-type]  # of 0 it still draws
        auto_augment=None if recipe.augment == NONE else recipe.augment,
        interpolation=recipe.interpolation,
        num_workers=workers,
        distributed=False,
        pin_memory=device.type == "cuda",
        device=device,
    )
    mend(dataset.transform)
    dataset.transform = Prepared(dataset.transform)
    if streamed:
        stream = Stream(loader, images, recipe, mixed(seed, world.rank))
        loader.loader = Seeded(loader.loader, stream)
        return Batches(stream, stream)
    order = Order(images, recipe, seed, world)
    inner = loader.loader
    loader.loader = Seeded(
        DataLoader(
            dataset,
            batch_sampler=order,
            num_workers=workers,
            collate_fn=inner.collate_fn,
            pin_memory=inner.pin_memory,
            worker_init_fn=inner.worker_init_fn,
            persistent_workers=workers > 0,
        ),
        order,
    )
    return Batches(loader, order)


def val_batches(
    images: "Images",
    recipe: Recipe,
    resolution: int,
    *,
    world: World,
    device: torch.device,
    workers: int,
    batch: int | None = None,
) -> Any:
    """Return timm's loader of validation batches, of which each process has its share."""
    dataset: Any = images if isinstance(images, IterableDataset) else Plain(images)
    loader = create_loader(
        dataset,
        input_size=(3, resolution, resolution),
        batch_size=batch or recipe.batch,
        interpolation=recipe.interpolation,
        crop_pct=recipe.crop,
        num_workers=workers,
        distributed=world.processes > 1,
        pin_memory=device.type == "cuda",
        device=device,
    )
    dataset.transform = Prepared(dataset.transform)
    return loader
