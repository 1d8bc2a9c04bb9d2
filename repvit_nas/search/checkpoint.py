"""The log of a study, one batch of trials a line: after kill -9 at most the last batch is lost.

Optuna's own storages write every suggestion of every trial; at a thousand cheap trials a second
that costs more than the search. So the embedded storage stays in memory and this log brings it
back: choices, values and constraints of each trial, and what the sampler noted about it.
"""

import os
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError

CHECKPOINT_FILE: Final = "study.journal"
Choice = Annotated[int, msgspec.Meta(ge=0)]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line: which search the log belongs to."""

    schema: Literal[1]
    digest: str


class TrialRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One finished trial.

    Attributes:
        choices: Its row of choices.
        values: Its objectives.
        constraints: How far each constraint is broken.
        notes: What the sampler noted (NSGA-II: the generation).
    """

    choices: tuple[Choice, ...]
    values: tuple[float, ...]
    constraints: tuple[float, ...]
    notes: dict[str, int] = {}


class Checkpoint:
    """Appends batches to the log of one study."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self._digest = digest

    def start(self) -> None:
        """Begin a new log."""
        self.keep([])

    def append(self, batch: list[TrialRecord]) -> None:
        """Append one batch and have it on the disk before returning."""
        line = msgspec.json.encode(batch) + b"\n"
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def keep(self, batches: list[list[TrialRecord]]) -> None:
        """Replace the log by one of these batches."""
        lines = [Header(1, self._digest), *batches]
        files.write_bytes(self.path, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    def read(self) -> list[list[TrialRecord]]:
        """Return the batches of an unfinished study; a torn last line is cut off.

        Raises:
            FileError: The log belongs to another search, or a line is broken.
        """
        content = self._content()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if not lines or self._header(lines[0]).digest != self._digest:
            raise FileError(
                f"{self.path}: belongs to another search; choose another folder with --out, or "
                "replace it with --overwrite"
            )
        batches = [self._batch(number, line) for number, line in enumerate(lines[1:], start=2)]
        if len(whole) < len(content):
            files.write_bytes(self.path, whole)
        return batches

    def _content(self) -> bytes:
        """Return the log, which may be far longer than any other file of ours."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise FileError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _header(self, line: bytes) -> Header:
        try:
            return msgspec.json.decode(line, type=Header)
        except msgspec.DecodeError as error:
            raise FileError(f"{self.path}: line 1 is no header of a study: {error}") from error

    def _batch(self, number: int, line: bytes) -> list[TrialRecord]:
        try:
            return msgspec.json.decode(line, type=list[TrialRecord])
        except msgspec.DecodeError as error:
            raise FileError(f"{self.path}: line {number} is broken: {error}") from error
