"""One writer at a time in a folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import filelock

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError

# Whether to go on with what a folder holds: no, yes, or if there is something to go on with.
Resume = bool | Literal["auto"]
_LOCK_FILE: Final = ".lock"
_HOLDER_FILE: Final = ".holder"
# What lies in a folder while it is held.
LOCK_FILES: Final = (_LOCK_FILE, _HOLDER_FILE)


@contextlib.contextmanager
def held(
    folder: Path, *, otherwise: str = "choose another folder with --out", wait_s: float = 0
) -> Iterator[None]:
    """Keep every other run out of a folder, which is made if it is not there.

    Folders that were made for it and stayed empty are removed in the end.

    Args:
        folder: The folder.
        otherwise: What else to do where it cannot be had, for messages.
        wait_s: How long another run may hold it before that is an error.

    Raises:
        RepvitNasError: Another run holds it; the message says which.
        FileError: It is a file, or cannot be written.
    """
    lock = filelock.FileLock(folder / _LOCK_FILE, timeout=wait_s)
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise FileError(f"{folder}: is a file; {otherwise}")
        made += [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:  # the lock is another run's, and stays
        raise RepvitNasError(
            f"{folder}: {_holder(folder)} is writing here; wait for its end, stop it, or {otherwise}"
        ) from error
    except OSError as error:
        _remove_empty(made)
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        with contextlib.suppress(FileError):  # a word in another run's message, no more
            files.write_bytes(folder / _HOLDER_FILE, f"process {os.getpid()}\n".encode())
        yield
    finally:
        # Before the lock is given up: then they could be another's.
        for name in LOCK_FILES:
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        lock.release()
        if not wait_s:  # else others may be waiting for it
            _remove_empty(made)


def _holder(folder: Path) -> str:
    """Return who holds a folder, as far as it can be told."""
    with contextlib.suppress(FileError, UnicodeDecodeError):
        said = files.read_bytes(folder / _HOLDER_FILE).decode().strip()
        if said.isprintable() and said:
            return said
    return "another run"


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders in order, up to the first that is not empty."""
    with contextlib.suppress(OSError):
        for each in folders:
            each.rmdir()
