"""A teacher's maps on disk, in half precision, so that it is asked once for each picture.

One file holds the maps of all pictures by their place, another one which of them are there. Both are
written as training goes; whatever was written before an interruption is not made again.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.pictures import PLACE
from repvit_nas.training.teacher import Mapper, Teacher

# The maps that pictures shall be given, of the pictures and their places.
TargetOf = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_HALF: Final = 2
# What of a disk is left to others.
_SPARE: Final = 2**28


class Embeddings:
    """Maps of a teacher, from the disk or, where they are not there, from itself.

    Args:
        teacher: Makes the maps.
        folder: Where they are kept.
        pictures: How many pictures there are.
        shape: Of a map: channels, height, width.
        key: What tells these pictures from others.

    Raises:
        RepvitNasError: The disk has no room for them.
        FileError: The folder cannot be written.
    """

    def __init__(
        self,
        teacher: Teacher,
        folder: Path,
        pictures: int,
        shape: tuple[int, int, int],
        key: str,
    ) -> None:
        self._maps = teacher.maps
        stem = files.digest(repr((teacher.name, teacher.digest, pictures, shape, key)).encode())
        self.path = folder / f"maps-{stem}.f16"
        known = folder / f"maps-{stem}.known"
        self.size_bytes = _HALF * pictures * int(np.prod(shape))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            there = self.path.is_file() and self.path.stat().st_size == self.size_bytes
            free = shutil.disk_usage(folder).free - _SPARE
            if not there and free < self.size_bytes:
                raise RepvitNasError(
                    f"--cache {folder}: {self.size_bytes / 1e9:.1f} GB of maps do not fit on a disk with "
                    f"{max(free, 0) / 1e9:.1f} GB free; give another folder, or --cache none"
                )
            self.values = _mapped(self.path, (pictures, *shape), np.float16)
            self.known = _mapped(known, (pictures,), np.uint8)
        except OSError as error:
            raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from error

    def said(self) -> str:
        """Say how large the maps are, where, and how many are there."""
        there, count = int(np.count_nonzero(self.known)), len(self.known)
        return (
            f"maps of {count:,} pictures take {self.size_bytes / 1e9:.3g} GB in {self.path.parent}; "
            f"{there:,} are there"
        )

    def __call__(self, images: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Return the maps of pictures, rounded to half precision whether they were there or not."""
        rows = places[:, PLACE].tolist()
        new = [number for number, row in enumerate(rows) if not self.known[row]]
        if new:
            made = self._maps(images[new]).half().cpu().numpy()
            for number, value in zip(new, made, strict=True):
                self.values[rows[number]] = value
                self.known[rows[number]] = 1
        return torch.from_numpy(self.values[rows]).to(images.device).float()


def unkept(maps: Mapper) -> TargetOf:
    """Return what asks a teacher for every picture anew."""
    return lambda images, _: maps(images)


def _mapped(
    path: Path, shape: tuple[int, ...], kind: type
) -> "np.memmap[tuple[int, ...], np.dtype]":
    """Open an array on the disk; what is not there yet is 0."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if not path.is_file() or path.stat().st_size != size:
        with path.open("ab") as file:
            file.truncate(size)
    return np.memmap(path, dtype=kind, mode="r+", shape=shape)
