"""What a network is trained on: data in the box, folders of images, and timm's own names."""

import functools
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec
import numpy as np
from PIL import Image

from repvit_nas.errors import RepvitNasError
from repvit_nas.training import shapes

DIGITS: Final = "digits"
SHAPES: Final = "shapes"
# Prefixes of timm's names of data sets that are no folders of images.
TIMM_PREFIXES: Final = ("hfds/", "hfids/", "wds/", "torch/", "tfds/")
SHAPES_IMAGES: Final = (24_000, 2_400)
# As timm searches for the folders of a split.
_TRAIN_FOLDERS: Final = ("train", "training")
_VAL_FOLDERS: Final = ("val", "valid", "validation", "eval", "evaluation", "test")
_DIGITS_VAL: Final = 360
_NAMED_BAD: Final = 3
# The validation images of `shapes` are another stream of the same seed.
_VAL_STREAM: Final = 1 << 40


class DataSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which images, as a run remembers it.

    Attributes:
        name: `digits`, `shapes`, a folder of images, or a name with a prefix that timm knows.
        root: Where timm finds (or downloads) a data set that it knows by name.
        train_split: Its split to train on.
        val_split: Its split to validate on.
        num_classes: Its number of classes, where it does not say so itself.
        train_images: How many images of `shapes` to train on.
        val_images: How many images of `shapes` to validate on.
        seed: Which `shapes`.
        skip_bad_images: Leave out what cannot be read, instead of refusing the folder.
        download: Let timm download the data set.
    """

    name: str
    root: str = ""
    train_split: str = "train"
    val_split: str = "validation"
    num_classes: int | None = None
    train_images: int | None = None
    val_images: int | None = None
    seed: int = 0
    skip_bad_images: bool = False
    download: bool = False


class Images(Protocol):
    """A data set as timm's loader wants it."""

    transform: Any

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return image and class."""

    def __len__(self) -> int:
        """Count the images."""


class Opened(NamedTuple):
    """Images to train on and to validate on.

    Attributes:
        train: Images to train on.
        val: Images to validate on.
        classes: Names of the classes, by number.
        resolution: The side at which the images are best used, where they have one.
        flip: Whether a mirrored image is of the same class.
        skipped: Files that were left out because they cannot be read.
    """

    train: Images
    val: Images
    classes: tuple[str, ...]
    resolution: int | None = None
    flip: bool = True
    skipped: tuple[Path, ...] = ()


class Shapes:
    """Images of `shapes`, drawn when they are asked for.

    Args:
        count: How many.
        size: Side in pixels.
        seed: Which data set.
        first: Index of the first image in its stream.
    """

    def __init__(self, count: int, size: int, seed: int = 0, first: int = 0) -> None:
        self.count = count
        self.size = size
        self.seed = seed
        self.first = first
        self.transform: Any = None

    def __len__(self) -> int:
        """Count the images."""
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Draw an image; returns it and its class."""
        if not 0 <= index < self.count:
            raise IndexError(f"there are {self.count} images; got {index}")
        place = self.first + index
        image = Image.fromarray(shapes.draw(place, self.size, self.seed))
        return _transformed(self.transform, image), shapes.label(place)


class Digits:
    """Scikit-learn's handwritten digits, 8x8 pixels each, as images.

    Args:
        train: The images to train on, or those to validate on: a fixed fifth of them.
    """

    def __init__(self, *, train: bool) -> None:
        images, labels = _digits()
        # A fixed shuffle: the data set is in the order of its writers.
        order = np.random.default_rng(0).permutation(len(labels))
        kept = order[_DIGITS_VAL:] if train else order[:_DIGITS_VAL]
        self.images = images[kept]
        self.labels = labels[kept]
        self.transform: Any = None

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return an image and its class."""
        image = Image.fromarray(self.images[index]).convert("RGB")
        return _transformed(self.transform, image), int(self.labels[index])


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return (loaded.images * (255 / 16)).round().astype(np.uint8), loaded.target


def _transformed(transform: Any, image: Image.Image) -> Any:
    return image if transform is None else transform(image)


def open_data(spec: DataSpec, resolution: int | None = None, *, to_train: bool = True) -> Opened:
    """Open the images that `spec` names.

    Args:
        spec: Which images.
        resolution: At which side `shapes` are drawn; their own by default.
        to_train: Look at each image to train on; one who only validates need not wait for that.

    Raises:
        RepvitNasError: There are none, they have fewer than two classes, some cannot be read, or
            the classes to train on are not those to validate on.
    """
    if spec.name != SHAPES and (spec.train_images or spec.val_images):
        raise RepvitNasError(
            f"a number of images can be chosen for {SHAPES} only, which are drawn; got {spec.name!r}"
        )
    if not spec.name:
        raise RepvitNasError(
            f"--data is empty; give {DIGITS}, {SHAPES}, a folder, or one of timm's names"
        )
    if spec.name == DIGITS:
        names = tuple("0123456789")
        return Opened(Digits(train=True), Digits(train=False), names, 32, flip=False)
    if spec.name == SHAPES:
        return _open_shapes(spec, resolution or 64)
    if spec.name.lower().startswith(TIMM_PREFIXES):
        return _open_named(spec)
    return _open_folder(spec, to_train=to_train)


def is_folder(name: str) -> bool:
    """Tell whether a name of data stands for a folder of images."""
    return name not in {DIGITS, SHAPES} and not name.lower().startswith(TIMM_PREFIXES)


def moved(spec: DataSpec, name: str) -> DataSpec:
    """Return where images are now: `name` takes the place of what a run remembers."""
    if name == SHAPES:
        return msgspec.structs.replace(spec, name=name)
    return msgspec.structs.replace(spec, name=name, train_images=None, val_images=None)


def open_validation(
    spec: DataSpec, classes: Sequence[str], resolution: int | None = None
) -> Images:
    """Open the images to validate on alone; those to train on need not be here.

    Args:
        spec: Which images. A folder holds a folder for each class, or such a folder as `val`.
        classes: Names of the classes that they must have, by number.
        resolution: At which side `shapes` are drawn; their own by default.

    Raises:
        RepvitNasError: There are none, some cannot be read, or they have other classes.
    """
    if not is_folder(spec.name):
        opened = open_data(spec, resolution, to_train=False)
        _check_known_classes(spec.name, opened.classes, classes)
        return opened.val
    root = Path(spec.name)
    if not root.is_dir():
        raise RepvitNasError(
            f"--data {spec.name}: is no folder; give the one that holds val/CLASS/*"
        )
    folder = next((root / name for name in _VAL_FOLDERS if (root / name).is_dir()), root)
    split = _folder_images(folder)
    _check_known_classes(folder, tuple(split.reader.class_to_idx), classes)
    bad = _bad_images((Path(path) for path, _ in split.reader.samples), _has_header)
    if bad and not spec.skip_bad_images:
        raise RepvitNasError(f"{_bad_text(bad)}; mend them, or move them away")
    left_out = {str(path) for path in bad}
    split.reader.keep([one for one in split.reader.samples if one[0] not in left_out])
    split._max_retries = 1  # noqa: SLF001  # as in `_open_folder`
    return cast("Images", split)


def _check_known_classes(origin: object, found: Sequence[str], known: Sequence[str]) -> None:
    if tuple(found) != tuple(known):
        apart = sorted(set(found) ^ set(known))
        raise RepvitNasError(
            f"{origin}: holds {len(found)} classes, the run was trained on {len(known)}: they must be the "
            f"same, {f'and {apart[0]!r} is in one only' if apart else 'in the same order'}; give --data "
            "with images of these classes"
        )


def _open_shapes(spec: DataSpec, size: int) -> Opened:
    counts = spec.train_images or SHAPES_IMAGES[0], spec.val_images or SHAPES_IMAGES[1]
    for count in counts:
        if count < len(shapes.CLASSES):
            raise RepvitNasError(
                f"{SHAPES} has {len(shapes.CLASSES)} classes and needs at least as many images; "
                f"got {count}"
            )
    train = Shapes(counts[0], size, spec.seed)
    val = Shapes(counts[1], size, spec.seed, first=_VAL_STREAM - _VAL_STREAM % len(shapes.CLASSES))
    return Opened(train, val, shapes.CLASSES, size)


def _open_folder(spec: DataSpec, *, to_train: bool) -> Opened:
    root = Path(spec.name)
    if not root.is_dir():
        raise RepvitNasError(
            f"--data {spec.name}: is no folder; give {DIGITS}, {SHAPES}, a folder that holds "
            f"train/CLASS/*.jpg and val/CLASS/*.jpg, or one of timm's names ({', '.join(TIMM_PREFIXES)}...)"
        )
    folders = _split_folder(root, _TRAIN_FOLDERS), _split_folder(root, _VAL_FOLDERS)
    splits = [_folder_images(folder) for folder in folders]
    classes = [tuple(split.reader.class_to_idx) for split in splits]
    for folder, names in zip(folders, classes, strict=True):
        _check_classes(folder, names)
    _check_same_classes(folders, classes)
    readable = _decodable if spec.skip_bad_images else _has_header
    bad = [
        _bad_images((Path(path) for path, _ in split.reader.samples), readable) if looked else []
        for split, looked in zip(splits, (to_train, True), strict=True)
    ]
    skipped = tuple(path for found in bad for path in found)
    if skipped and not spec.skip_bad_images:
        raise RepvitNasError(
            f"{_bad_text(skipped)}; mend them, or leave them out with --skip-bad-images"
        )
    for folder, split, found in zip(folders, splits, bad, strict=True):
        left_out = {str(path) for path in found}
        split.reader.keep([one for one in split.reader.samples if one[0] not in left_out])
        # timm would take the next image in place of one that is broken behind its header.
        split._max_retries = 1  # noqa: SLF001
        present = {target for _, target in split.reader.samples}
        empty = [
            name for name, target in split.reader.class_to_idx.items() if target not in present
        ]
        if empty:
            raise RepvitNasError(f"{folder}: no readable image is left of class {empty[0]!r}")
    return Opened(splits[0], splits[1], classes[0], skipped=skipped)


class _Closing:
    """timm's reader, but for the files that it leaves open."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.samples = reader.samples

    def __getattr__(self, name: str) -> Any:
        if name == "reader":  # not there yet while a worker process unpacks this object
            raise AttributeError(name)
        return getattr(self.reader, name)

    def __getitem__(self, index: int) -> tuple[io.BytesIO, int]:
        file, target = self.reader[index]
        with file:
            return io.BytesIO(file.read()), target

    def __len__(self) -> int:
        return len(self.reader)

    def keep(self, samples: list[tuple[str, int]]) -> None:
        """Leave out all other images."""
        self.samples = self.reader.samples = samples


def _split_folder(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise RepvitNasError(
        f"{root}: must hold the folders train and val with a folder of images for each class; "
        f"there is no {names[0]} (nor {', '.join(names[1:])})"
    )


def _folder_images(folder: Path) -> Any:
    from timm.data.dataset_factory import create_dataset

    try:
        images = create_dataset("", root=str(folder), search_split=False)
    except RuntimeError as error:
        raise RepvitNasError(
            f"{folder}: holds no images; it must hold a folder of images for each class"
        ) from error
    images.reader = _Closing(images.reader)
    return images


def _check_classes(origin: object, names: Sequence[str]) -> None:
    if not any(names):  # timm calls the class of images beside no folder the empty name
        raise RepvitNasError(
            f"{origin}: holds images but no classes; put them into a folder for each class"
        )
    if len(names) < 2:
        raise RepvitNasError(
            f"{origin}: holds one class only ({names[0]!r}); a classifier needs at least two"
        )


def _check_same_classes(folders: Sequence[Path], classes: Sequence[Sequence[str]]) -> None:
    train, val = map(set, classes)
    if train != val:
        apart = sorted(train ^ val)
        where = "train" if apart[0] in train else "val"
        raise RepvitNasError(
            f"{folders[0]} has {len(train)} classes and {folders[1]} has {len(val)}: they must be "
            f"the same; {apart[0]!r} is only in {where}"
        )


def _bad_images(paths: Iterable[Path], readable: Callable[[Path], bool]) -> list[Path]:
    """Return the files that are no readable images."""
    from concurrent.futures import ThreadPoolExecutor

    listed = list(paths)
    with ThreadPoolExecutor() as pool:
        good = pool.map(readable, listed)
        return [path for path, fine in zip(listed, good, strict=True) if not fine]


def _decodable(path: Path) -> bool:
    """Tell whether all of an image can be read; what is left out must be known before it is used."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def _has_header(path: Path) -> bool:
    """Tell whether a file begins as an image does; one broken behind that is an error in training."""
    try:
        with Image.open(path) as image:
            return image.width > 0
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _bad_text(paths: Sequence[Path]) -> str:
    named = ", ".join(str(path) for path in paths[:_NAMED_BAD])
    more = f" and {len(paths) - _NAMED_BAD} more" if len(paths) > _NAMED_BAD else ""
    images = "1 image" if len(paths) == 1 else f"{len(paths)} images"
    return f"{images} cannot be read: {named}{more}"


def skipped_text(paths: Sequence[Path]) -> str:
    """Say which images were left out."""
    return f"{_bad_text(paths)}; left out"


def _open_named(spec: DataSpec) -> Opened:
    """Open a data set that timm knows by name."""
    from timm.data.dataset_factory import create_dataset

    def opened(split: str, *, training: bool) -> Any:
        try:
            return create_dataset(
                spec.name,
                root=spec.root or None,
                split=split,
                is_training=training,
                download=spec.download,
                num_classes=None,
            )
        except RepvitNasError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise RepvitNasError(
                f"--data {spec.name}, split {split!r}: timm cannot open it: {said}"
            ) from error

    train, val = opened(spec.train_split, training=True), opened(spec.val_split, training=False)
    names = [_class_names(split, spec.num_classes) for split in (train, val)]
    if any(found is None for found in names):
        raise RepvitNasError(f"--data {spec.name}: say how many classes it has with --num-classes")
    classes, others = cast("list[tuple[str, ...]]", names)
    _check_classes(spec.name, classes)
    if len(classes) != len(others):
        raise RepvitNasError(
            f"--data {spec.name}: {len(classes)} classes to train on and {len(others)} to validate "
            "on: they must be the same"
        )
    return Opened(train, val, classes)


def _class_names(split: Any, count: int | None) -> tuple[str, ...] | None:
    """Return the names of a data set's classes, as far as it knows them."""
    known = getattr(split, "classes", None)
    reader = getattr(split, "reader", None)
    if known is None and getattr(reader, "class_to_idx", None):
        known = reader.class_to_idx  # type: ignore[union-attr]
    if known is None:
        features = getattr(getattr(reader, "dataset", None), "features", None) or {}
        known = getattr(features.get("label"), "names", None)
    if known:
        return tuple(str(name) for name in known)
    return tuple(str(number) for number in range(count)) if count else None
