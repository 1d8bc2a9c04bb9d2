"""Pictures without labels, as SAM takes them: the longer side scaled, the rest padded.

What is padded is nothing after the preprocessing, and does not count: each picture comes with its own
height and width.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch.utils.data import DataLoader, Dataset, Subset

from repvit_nas import files
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import SHAPES, Images, Opened, is_folder, open_data
from repvit_nas.training.folder import FolderImages, is_hidden
from repvit_nas.training.found import FoundImages
from repvit_nas.training.images import judge
from repvit_nas.training.loading import Batches, Keyed, Order, Plain, Seeded, World
from repvit_nas.training.recipe import Recipe
from repvit_nas.training.spec import DataSpec
from repvit_nas.words import number_of, printable

# Of a folder without one to validate on, one picture in so many is kept for that.
HELD_OUT: Final = 10
# Where a picture is, and how high and wide it is in the square: the columns of what comes with it.
PLACE, HEIGHT, WIDTH = range(3)


class PaddedPictures(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pictures in a square, prepared and padded.

    Args:
        images: The pictures; their classes are not looked at.
        side: Of the square in pixels.
        first: The place of the first one among all pictures of a run.
    """

    def __init__(self, images: Images, side: int, first: int = 0) -> None:
        self.images = images
        self.side = side
        self.first = first
        self.transform: Any = None  # of the loader's protocol; nothing is to be transformed
        mean, std = (torch.tensor(each) for each in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
        self._scale, self._shift = (1 / (255 * std)).view(3, 1, 1), (-mean / std).view(3, 1, 1)

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `(3, side, side)`, and its place, height and width in the square, `(3,)`."""
        picture, _ = self.images[index]
        width, height = fitted(picture.width, picture.height, self.side)
        scaled = picture.resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.frombuffer(bytearray(scaled.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(height, width, 3).permute(2, 0, 1)
        square = torch.zeros(3, self.side, self.side)
        square[:, :height, :width] = pixels * self._scale + self._shift
        return square, torch.tensor([self.first + index, height, width])

    def filename(self, index: int, *, absolute: bool) -> str:
        """Return the path of a picture, where it has one."""
        named = getattr(self.images, "filename", None)
        return named(index, absolute=absolute) if named else f"picture {index}"


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """Return width and height of a picture whose longer side is scaled to `side`, as SAM rounds them."""
    scale = side / max(width, height)
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


def inside(places: torch.Tensor, side: int, of: int) -> torch.Tensor:
    """Return which elements of maps lie within their pictures, `(images, 1, side, side)`.

    Args:
        places: Place, height and width of each picture, `(images, 3)`.
        side: Of the maps.
        of: Side of the squares that heights and widths are in.
    """
    axis = torch.arange(side, device=places.device) * (of / side)
    down = axis[None, :] < places[:, HEIGHT, None]
    across = axis[None, :] < places[:, WIDTH, None]
    return (down[:, :, None] & across[:, None, :])[:, None]


def open_pictures(spec: DataSpec, resolution: int) -> Opened:
    """Open pictures to train and to validate on.

    Args:
        spec: `shapes`, or a folder: with folders to train and to validate on, or of pictures however
            deep, of which every tenth is kept to validate on.
        resolution: Side of the square in pixels.

    Raises:
        RepvitNasError: There are none, or some cannot be read and nobody said to leave them out.
    """
    if spec.name == SHAPES:
        opened = open_data(spec, resolution)
        return _opened(opened.train, opened.val, resolution, opened.found)
    if not is_folder(spec.name):
        raise RepvitNasError(
            f"--data {spec.name}: maps are matched on a folder of pictures, or on {SHAPES}"
        )
    root = Path(spec.name)
    if not root.is_dir():
        raise RepvitNasError(f"--data {spec.name}: is no folder; give one of pictures, or {SHAPES}")
    apart = [root / name for name in (spec.train_split, spec.val_split)]
    if all(each.is_dir() for each in apart):
        train, val = (_pictures(each, skip_broken=spec.skip_bad_images) for each in apart)
    else:
        every = _pictures(root, skip_broken=spec.skip_bad_images)
        step = max(2, min(HELD_OUT, len(every)))
        val = every[::step]
        train = [path for place, path in enumerate(every) if place % step]
    if not train or not val:
        raise RepvitNasError(
            f"--data {spec.name}: holds {number_of(len(train) + len(val), 'picture')}; at least one to "
            "train on and one to validate on are needed"
        )
    found = tuple(
        FoundImages(use=use, source=printable(str(root)), images=len(paths))
        for use, paths in (("train", train), ("val", val))
    )
    return _opened(_labelled(train), _labelled(val), resolution, found)


def _labelled(paths: list[Path]) -> FolderImages:
    """Return pictures of a folder as images, all of one class, which nobody looks at."""
    return FolderImages([(path, 0) for path in paths])


def _opened(train: Images, val: Images, resolution: int, found: tuple[FoundImages, ...]) -> Opened:
    pictures: Any = PaddedPictures(train, resolution)
    kept: Any = PaddedPictures(val, resolution, first=len(train))
    return Opened(pictures, kept, (), resolution, flip=False, found=found)


def _pictures(folder: Path, *, skip_broken: bool) -> list[Path]:
    """Return the pictures below a folder, in the order of their names."""
    found, broken = [], []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(map(is_hidden, path.relative_to(folder).parts)):
            continue
        verdict = judge(path, whole=skip_broken)
        if verdict == "image":
            found.append(path)
        elif verdict == "broken":
            broken.append(path)
    if broken and not skip_broken:
        raise RepvitNasError(
            f"{number_of(len(broken), 'picture')} cannot be read, the first is {broken[0]}; mend them, "
            "or leave them out with --skip-bad-images"
        )
    return found


def pictures_digest(opened: Opened, side: int) -> str:
    """Return what tells these pictures in this order from others: names and sizes, not the content."""
    parts = [str(side)]
    for split in (opened.train, opened.val):
        images: Any = getattr(split, "images", split)
        if isinstance(images, FolderImages):
            parts += [f"{path.name} {path.stat().st_size}" for path, _ in images.samples]
        else:  # drawn ones
            parts.append(f"{images.count} {images.size} {images.seed} {images.first}")
    return files.digest("\n".join(parts).encode())


class _OnDevice:
    """Batches on the device that they are computed on."""

    def __init__(self, loader: Any, device: torch.device) -> None:
        self.loader = loader
        self.device = device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        for batch in self.loader:
            yield tuple(each.to(self.device, non_blocking=True) for each in batch)


def picture_batches(
    pictures: Any, recipe: Recipe, *, seed: int, world: World, device: torch.device, workers: int
) -> Batches:
    """Return the batches to train on, in an order that can be entered anywhere.

    Raises:
        RepvitNasError: There are fewer pictures than one update takes.
    """
    order = Order(pictures, recipe, seed, world)
    loader: DataLoader[Any] = DataLoader(
        Keyed(pictures),  # type: ignore[arg-type]  # asked for by keys, not by places
        batch_sampler=order,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )
    return Batches(_OnDevice(Seeded(loader, order), device), order)


def validation_batches(
    pictures: Any, batch: int, *, world: World, device: torch.device, workers: int
) -> Any:
    """Return the batches to validate on, of which each process has its own share."""
    plain: Any = Plain(pictures)
    mine: Any = Subset(plain, range(world.rank, len(pictures), world.processes))
    return _OnDevice(DataLoader(mine, batch_size=batch, num_workers=workers), device)
