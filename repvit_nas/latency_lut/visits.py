"""Visits on disk: `observations.jsonl`, one line a visit, appended and flushed one at a time."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import filelock
import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError

OBSERVATIONS_FILE: Final = "observations.jsonl"
_LOCK_FILE: Final = ".lock"
_HOLDER_FILE: Final = ".holder"

Milliseconds = Annotated[float, msgspec.Meta(gt=0)]


class VisitRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One visit.

    Attributes:
        round: The round it belongs to.
        position: Its place in the round.
        key: The program's key.
        warm: Milliseconds of the calls before the series was steady.
        series: Milliseconds of the timed calls.
        seconds: What the visit took in all, loading included.
    """

    round: Annotated[int, msgspec.Meta(ge=0, lt=100_000)]
    position: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)]
    key: str
    warm: tuple[Milliseconds, ...]
    series: Annotated[tuple[Milliseconds, ...], msgspec.Meta(min_length=1)]
    seconds: Milliseconds


class VisitLog:
    """An append-only file of visits that survives being killed at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encoder = msgspec.json.Encoder()

    def read(self) -> list[VisitRecord]:
        """Return all visits; a torn last line is not there.

        Raises:
            FileError: A line is no visit; the message gives its number.
        """
        if not self.path.is_file():
            return []
        content = self._content()
        complete, _, _ = content.rpartition(b"\n")
        decoder = msgspec.json.Decoder(VisitRecord)
        visits, seen = [], set()
        for number, line in enumerate(complete.splitlines(), start=1):
            try:
                visit = decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise FileError(
                    f"{self.path}: line {number} is no visit: {error}; delete the line to go on "
                    "without it"
                ) from error
            place = (visit.round, visit.position)
            if place in seen:
                raise FileError(
                    f"{self.path}: line {number} repeats round {visit.round}, position "
                    f"{visit.position}; delete one of the two lines"
                )
            seen.add(place)
            visits.append(visit)
        return visits

    def _content(self) -> bytes:
        """Return the file's content; a long session makes it larger than other files of ours."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise FileError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def append(self, visit: VisitRecord) -> None:
        """Add a visit and wait until it is on the disk.

        Raises:
            FileError: It cannot be written; the visits before it stay.
        """
        line = self._encoder.encode(visit) + b"\n"
        try:
            # Without a buffer, nothing of a failed line is left to be written on closing.
            with self.path.open("ab", buffering=0) as file:
                before = file.tell()
                try:
                    _write_whole(file.fileno(), line)
                except OSError:
                    with contextlib.suppress(OSError):
                        os.truncate(self.path, before)
                    raise
        except OSError as error:
            raise FileError(
                f"{self.path}: cannot be written: {error.strerror or error}; the visits before "
                "stay, the same command goes on from there"
            ) from error

    def mend(self) -> None:
        """Drop a torn last line, so that the next visit starts on a line of its own."""
        if not self.path.is_file():
            return
        content = self._content()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            os.truncate(self.path, complete)


def _write_whole(handle: int, line: bytes) -> None:
    """Write a line and wait until it is on the disk; a part of one is an error."""
    if os.write(handle, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep every other run out of a device's folder.

    Raises:
        RepvitNasError: Another run holds it; the message says which.
        FileError: The folder cannot be written.
    """
    holder = folder / _HOLDER_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / _LOCK_FILE, timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        who = holder.read_text().strip() if holder.is_file() else "another run"
        raise RepvitNasError(
            f"{folder}: is being measured into by {who}; wait for it, stop it, or choose another "
            "--device name"
        ) from error
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        files.write_bytes(holder, f"process {os.getpid()}\n".encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
            (folder / _LOCK_FILE).unlink(missing_ok=True)
        lock.release()
