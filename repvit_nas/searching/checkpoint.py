"""The log of a study, one batch of trials a line: after kill -9 at most the last batch is lost.

Optuna's own storages write every suggestion of every trial; at a thousand cheap trials a second
that costs more than the search. So the embedded storage stays in memory and this log brings it
back: choices, values and constraints of each trial, and what the sampler noted about it.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas.errors import FileError
from repvit_nas.lines import LineLog
from repvit_nas.quantities import Count, Number

CHECKPOINT_FILE: Final = "study.journal"


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

    choices: tuple[Count, ...]
    values: tuple[Number, ...]
    constraints: tuple[Number, ...]
    notes: dict[str, Count] = {}


class Checkpoint:
    """The log of one study: what it belongs to, then a batch of trials a line."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self._digest = digest
        self._log: LineLog[Header | list[TrialRecord]] = LineLog(
            path,
            Header | list[TrialRecord],
            "line of a study",
            remedy="start again with --overwrite, or choose another folder with --out",
        )

    def start(self) -> None:
        """Begin a new log."""
        self.keep([])

    def append(self, batch: list[TrialRecord]) -> None:
        """Append one batch and have it on the disk before returning."""
        self._log.append(batch)

    def keep(self, batches: list[list[TrialRecord]]) -> None:
        """Replace the log by one of these batches."""
        self._log.replace([Header(1, self._digest), *batches])

    def read(self) -> list[list[TrialRecord]]:
        """Return the batches of an unfinished study; a torn last line is cut off.

        Raises:
            FileError: The log belongs to another search, or a line is broken.
        """
        found = self._log.read()
        header = found[0] if found else None
        if not isinstance(header, Header) or header.digest != self._digest:
            raise FileError(
                f"{self.path}: belongs to another search; choose another folder with --out, or "
                "replace it with --overwrite"
            )
        self._log.mend()
        batches = [line for line in found[1:] if isinstance(line, list)]
        if len(batches) < len(found) - 1:
            raise FileError(f"{self.path}: must have one header of a study, in line 1; got more")
        return batches
