"""What a network is trained on: data in the box, folders of images, and timm's own names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec
import numpy as np
from PIL import Image

from repvit_nas.errors import RepvitNasError
from repvit_nas.training import shapes
from repvit_nas.training.boxed import Digits, DrawnShapes
from repvit_nas.training.folder import FolderImages, Split, check_splits, is_hidden, scan
from repvit_nas.training.found import FoundImages
from repvit_nas.training.images import read_image
from repvit_nas.training.spec import TRAIN_SPLIT, VAL_SPLIT, DataSpec
from repvit_nas.words import number_of

DIGITS: Final = "digits"
SHAPES: Final = "shapes"
# Prefixes of timm's names of data sets that are no folders of images.
TIMM_PREFIXES: Final = ("hfds/", "hfids/", "wds/", "torch/", "tfds/")
SHAPES_IMAGES: Final = (24_000, 2_400)
# As timm searches for the folders of a split.
_TRAIN_FOLDERS: Final = ("train", "training")
_VAL_FOLDERS: Final = ("val", "valid", "validation", "eval", "evaluation", "test")
# Which values of a `DataSpec` mean something for which images.
_MEANT: Final = {
    DIGITS: frozenset({"num_classes"}),
    SHAPES: frozenset({"num_classes", "train_images", "val_images", "seed"}),
}
_MEANT_FOLDER: Final = frozenset({"train_split", "val_split", "num_classes", "skip_bad_images"})
_MEANT_NAMED: Final = frozenset({"root", "train_split", "val_split", "num_classes"})
# timm downloads these itself; the others' libraries always do.
_DOWNLOADING: Final = ("torch/", "tfds/", "hfids/")
# The validation images of `shapes` are another stream of the same seed.
_VAL_STREAM: Final = 1 << 40


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
        found: What was found, and what was left out.
    """

    train: Images
    val: Images
    classes: tuple[str, ...]
    resolution: int | None = None
    flip: bool = True
    found: tuple[FoundImages, ...] = ()


def open_data(spec: DataSpec, resolution: int | None = None, *, to_train: bool = True) -> Opened:
    """Open the images that `spec` names.

    Args:
        spec: Which images.
        resolution: At which side `shapes` are drawn; their own by default.
        to_train: Open the images to train on as well; one who only validates needs no folder of
            them, and gets none.

    Raises:
        RepvitNasError: There are none, they have fewer than two classes, some cannot be read, the
            classes to train on are not those to validate on, or `spec` asks for something that
            means nothing for such images.
    """
    if not spec.name:
        raise RepvitNasError(
            f"--data is empty; give {DIGITS}, {SHAPES}, a folder, or one of timm's names"
        )
    _refuse_idle(spec)
    opened = _open(spec, resolution, to_train=to_train)
    if spec.num_classes is not None and spec.num_classes != len(opened.classes):
        raise RepvitNasError(
            f"--num-classes {spec.num_classes}: {spec.name} has {len(opened.classes)} classes; "
            "leave the option out"
        )
    return opened


def _open(spec: DataSpec, resolution: int | None, *, to_train: bool) -> Opened:
    if spec.name == DIGITS:
        train, val = Digits(train=True), Digits(train=False)
        names = tuple("0123456789")
        found = tuple(
            FoundImages(
                use=use,
                source=DIGITS,
                images=len(digits),
                classes=dict(zip(names, np.bincount(digits.labels).tolist(), strict=True)),
            )
            for use, digits in (("train", train), ("val", val))
        )
        return Opened(train, val, names, 32, flip=False, found=found)
    if spec.name == SHAPES:
        return _open_shapes(spec, resolution or 64)
    if _is_timms(spec.name):
        return _open_named(spec)
    return _open_folder(spec, to_train=to_train)


def _is_timms(name: str) -> bool:
    return name.lower().startswith(TIMM_PREFIXES)


def is_folder(name: str) -> bool:
    """Tell whether a name of data stands for a folder of images."""
    return name not in (DIGITS, SHAPES) and not _is_timms(name)


def moved(spec: DataSpec, name: str) -> DataSpec:
    """Return where images are now: `name` takes the place of what a run remembers."""
    alike = name == spec.name or (is_folder(name) and is_folder(spec.name))
    return msgspec.structs.replace(spec, name=name) if alike else DataSpec(name=name)


def open_validation(
    spec: DataSpec, classes: Sequence[str], resolution: int | None = None
) -> Images:
    """Open the images to validate on alone; those to train on need not be here.

    Args:
        spec: Which images. A folder holds `val`, or is such a folder of a folder for each class.
        classes: Names of the classes that they must have, by number.
        resolution: At which side `shapes` are drawn; their own by default.

    Raises:
        RepvitNasError: There are none, some cannot be read, or they have other classes.
    """
    root = Path(spec.name)
    known = (spec.val_split, *_VAL_FOLDERS)
    if is_folder(spec.name) and root.is_dir() and not any((root / one).is_dir() for one in known):
        split = scan(root, whole=spec.skip_bad_images)
        check_splits((split,), skip_broken=spec.skip_bad_images)
        names: Sequence[str] = split.classes
        images: Images = FolderImages(split.samples)
    else:
        opened = open_data(spec, resolution, to_train=False)
        names, images = opened.classes, opened.val
    if tuple(names) != tuple(classes):
        apart = sorted(set(names) ^ set(classes))
        raise RepvitNasError(
            f"--data {spec.name}: holds {len(names)} classes, the run was trained on {len(classes)}: they "
            f"must be the same, {f'and {apart[0]!r} is in one only' if apart else 'in the same order'}; "
            "give --data with images of these classes"
        )
    return images


def _refuse_idle(spec: DataSpec) -> None:
    """Refuse a value that means nothing for the images that are named."""
    if spec.name in (DIGITS, SHAPES):
        meant = _MEANT[spec.name]
    elif _is_timms(spec.name):
        downloads = spec.name.lower().startswith(_DOWNLOADING)
        meant = _MEANT_NAMED | ({"download"} if downloads else set())
    else:
        meant = _MEANT_FOLDER
    plain = DataSpec(name=spec.name)
    for field in spec.__struct_fields__:
        value = getattr(spec, field)
        if field not in meant and field != "name" and value != getattr(plain, field):
            option = "data-root" if field == "root" else field.replace("_", "-")
            raise RepvitNasError(f"--{option} means nothing for --data {spec.name}; leave it out")


def _open_shapes(spec: DataSpec, size: int) -> Opened:
    counts = spec.train_images or SHAPES_IMAGES[0], spec.val_images or SHAPES_IMAGES[1]
    for count in counts:
        if count < len(shapes.CLASSES):
            raise RepvitNasError(
                f"{SHAPES} has {len(shapes.CLASSES)} classes and needs at least as many images; "
                f"got {count}"
            )
    train = DrawnShapes(counts[0], size, spec.seed)
    val = DrawnShapes(
        counts[1], size, spec.seed, first=_VAL_STREAM - _VAL_STREAM % len(shapes.CLASSES)
    )
    found = tuple(
        FoundImages(use=use, source=SHAPES, images=len(images))
        for use, images in (("train", train), ("val", val))
    )
    return Opened(train, val, shapes.CLASSES, size, found=found)


def _open_folder(spec: DataSpec, *, to_train: bool) -> Opened:
    root = Path(spec.name)
    if not root.is_dir():
        raise RepvitNasError(
            f"--data {spec.name}: is no folder; give {DIGITS}, {SHAPES}, a folder that holds "
            f"train/CLASS/*.jpg and val/CLASS/*.jpg, or one of timm's names ({', '.join(TIMM_PREFIXES)}...)"
        )
    whole = spec.skip_bad_images
    val = scan(_split_folder(root, spec.val_split, VAL_SPLIT, _VAL_FOLDERS), whole=whole)
    _check_classes(val.folder, val.classes)
    splits = {"val": val}
    if to_train:
        folder = _split_folder(root, spec.train_split, TRAIN_SPLIT, _TRAIN_FOLDERS)
        if folder.samefile(val.folder):
            raise RepvitNasError(
                f"{folder}: would be trained on and validated on; give two folders with "
                "--train-split and --val-split"
            )
        train = scan(folder, whole=whole)
        _check_classes(folder, train.classes)
        _check_same_classes(train, val)
        splits = {"train": train, "val": val}
    check_splits(tuple(splits.values()), skip_broken=whole)
    return Opened(
        FolderImages(splits["train"].samples if to_train else ()),
        FolderImages(val.samples),
        val.classes,
        found=tuple(split.found(use) for use, split in splits.items()),
    )


def _split_folder(root: Path, wanted: str, usual: str, names: Sequence[str]) -> Path:
    """Return the folder of a split: the one that is asked for, or the first of the usual names."""
    known = (wanted, *names) if wanted == usual else (wanted,)
    for name in known:
        if (root / name).is_dir():
            return root / name
    if wanted != usual:
        held = sorted(path.name for path in root.iterdir() if path.is_dir())
        raise RepvitNasError(
            f"{root}: has no folder {wanted!r}; it has: {', '.join(held) or 'none'}"
        )
    raise RepvitNasError(
        f"{root}: must hold the folders train and val with a folder of images for each class; "
        f"there is no {names[0]} (nor {', '.join(names[1:])})"
    )


def _check_classes(origin: object, names: Sequence[str]) -> None:
    if len(names) < 2:
        raise RepvitNasError(
            f"{origin}: holds one class only ({names[0]!r}); a classifier needs at least two"
        )


def _check_same_classes(train: Split, val: Split) -> None:
    apart = sorted(set(train.classes) ^ set(val.classes))
    if apart:
        where = "train" if apart[0] in train.classes else "val"
        raise RepvitNasError(
            f"{train.folder} has {number_of(len(train.classes), 'class')} and {val.folder} has "
            f"{len(val.classes)}: they must be the same; {apart[0]!r} is only in {where}"
        )


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
                # Pillow's own conversion loses what :func:`upright_rgb` keeps; tfds has no other.
                input_img_mode="RGB" if spec.name.lower().startswith("tfds/") else "",
            )
        except RepvitNasError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise RepvitNasError(
                f"--data {spec.name}, split {split!r}: timm cannot open it: {said}"
            ) from error

    train, val = opened(spec.train_split, training=True), opened(spec.val_split, training=False)
    for split in (train, val):
        if hasattr(split, "loader"):  # torchvision's folders
            split.loader = _torchvision_image
        if hasattr(split, "_max_retries"):  # timm would take the next image for a broken one
            split._max_retries = 1  # noqa: SLF001
    names = [_class_names(split, spec.num_classes) for split in (train, val)]
    if any(found is None for found in names):
        raise RepvitNasError(f"--data {spec.name}: say how many classes it has with --num-classes")
    classes, others = cast("list[tuple[str, ...]]", names)
    _check_classes(spec.name, classes)
    hidden = [name for name in (*classes, *others) if is_hidden(name)]
    if hidden:  # torchvision takes every folder for one
        raise RepvitNasError(
            f"--data {spec.name}: {hidden[0]!r} would be a class; remove that folder, or give the "
            "folder of the images itself as --data"
        )
    if len(classes) != len(others):
        raise RepvitNasError(
            f"--data {spec.name}: {len(classes)} classes to train on and {len(others)} to validate "
            "on: they must be the same"
        )
    found = tuple(
        FoundImages(use=use, source=f"{spec.name}, split {split!r}", images=len(images))
        for use, split, images in (
            ("train", spec.train_split, train),
            ("val", spec.val_split, val),
        )
    )
    return Opened(train, val, classes, found=found)


def _torchvision_image(path: str) -> Image.Image:
    return read_image(Path(path))


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
