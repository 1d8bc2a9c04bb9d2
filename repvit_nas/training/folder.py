"""Images in folders, a folder for each class: what counts as a class, as an image, and as neither."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.found import FoundImages, PassedOver, left_out
from repvit_nas.training.images import ImageVerdict, judge, read_image
from repvit_nas.words import number_of, printable

# What systems and programs leave beside images: archives made on a Mac, network storage, Windows,
# Linux. Names are compared in lower case; so is whatever begins with a dot.
_NO_CLASS: Final = frozenset(
    (
        *("__macosx", "@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "lost+found"),
        *("$recycle.bin", "recycler", "system volume information", "__pycache__"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    )
)
HIDDEN: Final = "hidden, or left by a system"
BESIDE: Final = "in no class folder"
NO_IMAGE: Final = "no image that can be read"
BROKEN: Final = "a broken image"
EMPTY: Final = "a folder without images"
_NAMED_BAD: Final = 3


class Split(NamedTuple):
    """What a folder of classes holds.

    Attributes:
        folder: The folder.
        classes: Names of the classes, in the order of their numbers.
        samples: Each image with the number of its class.
        broken: Files that are called images and cannot be read.
        left_out: What is not used, and why.
    """

    folder: Path
    classes: tuple[str, ...]
    samples: tuple[tuple[Path, int], ...]
    broken: tuple[Path, ...]
    left_out: tuple[PassedOver, ...]

    def found(self, use: str) -> FoundImages:
        """Return what is said and kept of it."""
        counts = Counter(target for _, target in self.samples)
        return FoundImages(
            use=use,
            source=printable(str(self.folder)),
            images=len(self.samples),
            classes={name: counts[number] for number, name in enumerate(self.classes)},
            left_out=self.left_out,
        )


class FolderImages:
    """Images of a folder, read when they are asked for.

    Args:
        samples: Each image with the number of its class.
    """

    def __init__(self, samples: Sequence[tuple[Path, int]]) -> None:
        self.samples = tuple(samples)
        self.transform: Any = None

    def __len__(self) -> int:
        """Count the images."""
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return an image and its class."""
        path, target = self.samples[index]
        image = read_image(path)
        return (image if self.transform is None else self.transform(image)), target

    def filename(self, index: int, *, absolute: bool) -> str:  # noqa: ARG002  # as timm's
        """Return the path of an image."""
        return str(self.samples[index][0])


def scan(folder: Path, *, whole: bool) -> Split:
    """Find the classes and images of a folder.

    A class is a folder directly below; whatever lies below that belongs to it.

    Args:
        folder: The folder of a split.
        whole: Decode every image to find the broken ones, instead of looking at its beginning.

    Raises:
        RepvitNasError: It holds no images, or none in a folder of a class.
        FileError: A folder cannot be read.
    """
    from timm.utils.misc import natural_key

    order: Callable[[str], list[Any]] = natural_key
    try:
        listed = list(_walk(folder))
    except OSError as error:
        raise FileError(f"{error.filename}: cannot be read: {error.strerror}") from error
    inside = [(path, name) for path, name in listed if name not in (HIDDEN, BESIDE)]
    with ThreadPoolExecutor() as pool:
        verdicts: list[ImageVerdict] = list(
            pool.map(lambda each: judge(each[0], whole=whole), inside)
        )
    classes = sorted(
        {name for (_, name), verdict in zip(inside, verdicts, strict=True) if verdict != "other"},
        key=order,
    )
    beside = [path for path, name in listed if name == BESIDE]
    if not classes:
        loose = any(judge(path, whole=False) == "image" for path in beside)
        what = "images but no classes; put them into" if loose else "no images; it must hold"
        raise RepvitNasError(f"{folder}: holds {what} a folder of images for each class")
    for name in classes:
        if not name.isprintable():
            raise RepvitNasError(
                f"{folder}: a class must have a name that can be printed; got {name!r}"
            )
    numbers = {name: number for number, name in enumerate(classes)}
    judged = list(zip(inside, verdicts, strict=True))
    samples = [(path, numbers[name]) for (path, name), verdict in judged if verdict == "image"]
    broken = [path for (path, _), verdict in judged if verdict == "broken"]
    unused = [
        *((path, name) for path, name in listed if name in (HIDDEN, BESIDE)),
        *((path, NO_IMAGE) for (path, _), verdict in judged if verdict == "other"),
        *((path, BROKEN) for path in broken),
        *((path, EMPTY) for path in _class_folders(folder) if path.name not in numbers),
    ]
    return Split(
        folder,
        tuple(classes),
        tuple(sorted(samples, key=lambda each: order(str(each[0])))),
        tuple(sorted(broken)),
        left_out(unused, folder),
    )


def is_hidden(name: str) -> bool:
    """Tell whether no person would call a file or folder of this name an image or a class."""
    return name.startswith(".") or name.lower() in _NO_CLASS


def _class_folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Return each file below a folder with its class, or with why it can have none."""
    for path in folder.iterdir():
        hidden = is_hidden(path.name)
        if path.is_dir():
            label = HIDDEN if hidden else path.name
            yield from _files(path, label, frozenset({os.path.realpath(folder)}))
        else:
            yield path, HIDDEN if hidden else BESIDE


def _files(folder: Path, label: str, above: frozenset[str]) -> Iterator[tuple[Path, str]]:
    """Return each file below a folder; a link to a folder above is not followed."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in folder.iterdir():
        own = HIDDEN if is_hidden(path.name) else label
        if path.is_dir():
            yield from _files(path, own, above | {real})
        else:
            yield path, own


def check_splits(splits: Sequence[Split], *, skip_broken: bool) -> None:
    """Refuse folders that a classifier cannot learn from.

    Raises:
        RepvitNasError: They have broken images that nobody said to skip, or a class without images.
    """
    broken = [path for split in splits for path in split.broken]
    if broken and not skip_broken:
        raise RepvitNasError(
            f"{_broken_text(broken)}; mend them, or leave them out with --skip-bad-images"
        )
    for split in splits:
        present = {target for _, target in split.samples}
        empty = [name for number, name in enumerate(split.classes) if number not in present]
        if empty:
            raise RepvitNasError(f"{split.folder}: no readable image is left of class {empty[0]!r}")


def _broken_text(paths: Sequence[Path]) -> str:
    named = ", ".join(str(path) for path in paths[:_NAMED_BAD])
    more = f" and {len(paths) - _NAMED_BAD} more" if len(paths) > _NAMED_BAD else ""
    return f"{number_of(len(paths), 'image')} cannot be read: {named}{more}"
