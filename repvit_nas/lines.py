"""Logs of lines: a JSON record a line, appended and flushed one at a time, whole after any kill."""

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Generic, TypeVar

import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError

Logged = TypeVar("Logged")
# What a message quotes of what is wrong with a line.
_QUOTED = 200


class LineLog(Generic[Logged]):
    """An append-only file of records that survives being killed at any moment.

    A line counts once its end is there, so that what a killed writer left of one is not read.

    Args:
        path: The file; the first record makes it.
        kind: What a line holds.
        what: That in a word, for messages, such as `visit`.
        remedy: What to do about a line that is wrong, for messages.
    """

    def __init__(
        self,
        path: Path,
        kind: type[Logged] | UnionType,
        what: str,
        *,
        remedy: str = "delete the line to go on without it",
    ) -> None:
        self.path = path
        self._what = what
        self._remedy = remedy
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[Logged] = msgspec.json.Decoder(kind)

    def read(self) -> list[Logged]:
        """Return all records; a torn last line is not there, and neither is anything without a file.

        Raises:
            FileError: A line is no record; the message gives its number.
        """
        *lines, _ = self._content().split(b"\n")
        return [self._decoded(number, line) for number, line in enumerate(lines, start=1)]

    def _decoded(self, number: int, line: bytes) -> Logged:
        try:
            return self._decoder.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise FileError(
                f"{self.path}: line {number} is no {self._what}: {str(error)[:_QUOTED]}; {self._remedy}"
            ) from error

    def _content(self) -> bytes:
        """Return the file's content, which may be far larger than that of any other file of ours."""
        try:
            return self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise FileError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def append(self, record: Logged) -> None:
        """Add a record and wait until it is on the disk.

        Raises:
            FileError: It cannot be written; the records before it stay.
        """
        line = self._encoder.encode(record) + b"\n"
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
                f"{self.path}: cannot be written: {error.strerror or error}; the lines before stay, "
                "the same command goes on from there"
            ) from error

    def mend(self) -> None:
        """Drop a torn last line, so that the next record starts on a line of its own.

        Raises:
            FileError: The file cannot be read or written.
        """
        content = self._content()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            try:
                os.truncate(self.path, whole)
            except OSError as error:
                reason = error.strerror or error
                raise FileError(f"{self.path}: cannot be written: {reason}") from error

    def replace(self, records: Iterable[Logged]) -> None:
        """Replace the file by one of these records; see :func:`repvit_nas.files.write_bytes`."""
        lines = (self._encoder.encode(record) + b"\n" for record in records)
        files.write_bytes(self.path, b"".join(lines))


def _write_whole(handle: int, line: bytes) -> None:
    """Write a line and wait until it is on the disk; a part of one is an error."""
    if os.write(handle, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)
