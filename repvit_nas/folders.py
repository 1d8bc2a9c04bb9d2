"""One writer at a time in a folder, which keeps what it writes in there; one clock a machine."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import filelock

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError

# Whether to go on with what a folder holds: no, yes, or if there is something to go on with.
Resume = bool | Literal["auto"]
_HOLDER_FILE: Final = ".holder"
_MOMENT_S: Final = 0.2
# In the folder for temporary files, for all of a machine; a phone has a clock of its own.
_CLOCK_FILE: Final = "repvit-nas{}.clock"
# What lies in a folder while it is held.
LOCK_FILES: Final = (files.LOCK_FILE, _HOLDER_FILE)


@contextlib.contextmanager
def held(
    folder: Path, *, otherwise: str = "choose another folder with --out", wait_s: float = 0
) -> Iterator[None]:
    """Keep every other run out of a folder, which is made if it is not there.

    Folders that were made for it and stayed empty are removed in the end. A link in it that leads out
    is refused: what is behind that is not the run's to write or remove.

    Args:
        folder: The folder.
        otherwise: What else to do where it cannot be had, for messages.
        wait_s: How long another run may hold it before that is an error.

    Raises:
        RepvitNasError: Another run holds it, which the message names, or a link in it leads out.
        FileError: It is a file, or cannot be written.
    """
    # A moment, for one that is just being given up.
    wait = max(wait_s, _MOMENT_S)
    lock = filelock.FileLock(folder / files.LOCK_FILE, poll_interval=_MOMENT_S / 4)
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise FileError(f"{folder}: is a file; {otherwise}")
        end = time.monotonic() + wait
        while not lock.is_locked:
            made += [each for each in missing(folder) if each not in made]
            folder.mkdir(parents=True, exist_ok=True)
            # Whoever held it may remove it where it stayed empty, just when this one is waiting.
            with contextlib.suppress(FileNotFoundError):
                lock.acquire(timeout=max(0.0, end - time.monotonic()))
    except filelock.Timeout as error:  # the lock is another run's, and stays
        raise RepvitNasError(
            f"{folder}: {_holder(folder)} is writing here; wait for its end, stop it, or {otherwise}"
        ) from error
    except OSError as error:
        remove_empty(made)
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        refuse_links(folder, otherwise)
        with contextlib.suppress(FileError):  # a word in another run's message, no more
            files.write_bytes(folder / _HOLDER_FILE, f"process {os.getpid()}\n".encode())
        yield
    finally:
        # Before the lock is given up: then they could be another's. Whoever opened the lock's file
        # before it went finds that out from its count of names (filelock does), and tries anew.
        for name in LOCK_FILES:
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        lock.release()
        if not wait_s:  # else others may be waiting for it
            remove_empty(made)


def refuse_links(folder: Path, otherwise: str) -> None:
    """Raise where something in a folder is a link that leads out of it.

    Args:
        folder: The folder, which may be a link itself.
        otherwise: What else to do, for messages.

    Raises:
        RepvitNasError: There is one.
    """
    home = folder.resolve()
    for place, inner, names in os.walk(home):
        for name in (*inner, *names):
            path = Path(place) / name
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise RepvitNasError(
                    f"{path}: is a link that leads out of {folder}, where nothing is written or "
                    f"removed through links; remove it, or {otherwise}"
                )


def writable(folder: Path) -> bool:
    """Return whether files can be made in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def clock(say: Callable[[str], None] = lambda _: None, phone: str = "") -> Iterator[None]:
    """Wait until nobody else takes times on this machine: two at once spoil each other.

    Args:
        say: Told that it has to wait.
        phone: What tells a phone from others, where that is what takes the times.
    """
    where = "that device" if phone else "this machine"
    name = _CLOCK_FILE.format(f"-{files.digest(phone.encode())}" if phone else "")
    lock = filelock.FileLock(Path(tempfile.gettempdir()) / name, mode=0o666)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        say(f"another repvit-nas takes times on {where}; waiting for its end")
        lock.acquire()
    except OSError:  # another user's, or nowhere to write: then nobody can be told
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    """Return who holds a folder, as far as it can be told."""
    with contextlib.suppress(FileError, UnicodeDecodeError):
        said = files.read_bytes(folder / _HOLDER_FILE).decode().strip()
        if said.isprintable() and said:
            return said
    return "another run"


def missing(folder: Path) -> list[Path]:
    """Return a folder and those above it that are not there, the innermost first."""
    # Unlike the path's own, this is no error for a name too long, which whoever makes it tells of.
    return [each for each in (folder, *folder.parents) if not os.path.exists(each)]  # noqa: PTH110


def remove_empty(folders: list[Path]) -> None:
    """Remove folders in order, up to the first that is not empty."""
    with contextlib.suppress(OSError):
        for each in folders:
            each.rmdir()
