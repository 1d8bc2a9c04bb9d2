"""Visits on disk: `visits.jsonl`, one line a visit, appended and flushed one at a time."""

import contextlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec

from repvit_nas.errors import FileError
from repvit_nas.folders import held
from repvit_nas.lines import LineLog
from repvit_nas.quantities import Milliseconds

VISITS_FILE: Final = "visits.jsonl"
# What the log was called, with samples that were called series: it is read, and gone on with as the other.
_FORMER_FILE: Final = "observations.jsonl"

Samples = Annotated[tuple[Milliseconds, ...], msgspec.Meta(min_length=1)]


class Visit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One visit.

    Attributes:
        round: The round it belongs to.
        position: Its place in the round.
        key: The program's key.
        warm: Milliseconds of the calls before they were steady.
        samples: Milliseconds of the timed calls.
        seconds: What the visit took in all, loading included.
    """

    round: Annotated[int, msgspec.Meta(ge=0, lt=100_000)]
    position: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)]
    key: str
    warm: tuple[Milliseconds, ...]
    samples: Samples
    seconds: Milliseconds


class _FormerVisit(Visit, frozen=True):
    """A visit of a log of the former name."""

    samples: Samples = msgspec.field(name="series")


class VisitLog:
    """The visits of one table or series, in its folder."""

    def __init__(self, folder: Path) -> None:
        self._log = LineLog(folder / VISITS_FILE, Visit, "visit")
        self._former = LineLog(folder / _FORMER_FILE, _FormerVisit, "visit")

    @property
    def path(self) -> Path:
        """The file that holds the visits."""
        former = self._former.path
        return former if former.is_file() and not self._log.path.is_file() else self._log.path

    def read(self) -> list[Visit]:
        """Return all visits; a torn last line is not there.

        Raises:
            FileError: A line is no visit, or repeats one; the message gives its number.
        """
        if self.path == self._log.path:
            visits = self._log.read()
        else:
            visits = [Visit(**msgspec.structs.asdict(item)) for item in self._former.read()]
        seen = set()
        for number, visit in enumerate(visits, start=1):
            place = (visit.round, visit.position)
            if place in seen:
                raise FileError(
                    f"{self.path}: line {number} repeats round {visit.round}, position "
                    f"{visit.position}; delete one of the two lines"
                )
            seen.add(place)
        return visits

    def append(self, visit: Visit) -> None:
        """Add a visit to a log that was opened; see :meth:`repvit_nas.lines.LineLog.append`."""
        self._log.append(visit)

    def open(self) -> list[Visit]:
        """Make the log ready for more visits, and return those that it holds.

        A torn last line is dropped, and a log of the former name becomes one of this.
        """
        self._log.mend()
        visits = self.read()
        if self.path == self._former.path:
            self.replace(visits)
        return visits

    def replace(self, visits: Iterable[Visit]) -> None:
        """Replace the log by one of these visits."""
        self._log.replace(visits)
        with contextlib.suppress(OSError):
            self._former.path.unlink(missing_ok=True)


class ByRound(NamedTuple):
    """Timed calls in the order in which statistics ask for them.

    Attributes:
        programs: Samples of each program, by key and round.
        sentinel: Samples of each visit of the sentinel, by round.
    """

    programs: dict[str, dict[int, Samples]]
    sentinel: dict[int, list[Samples]]


def by_round(visits: Iterable[Visit], programs: Collection[str], sentinel: str) -> ByRound:
    """Return the samples of some programs, and of the sentinel.

    Args:
        visits: The visits.
        programs: Keys of the programs. If the sentinel is among them, it counts as others do too: one
            visit a round.
        sentinel: Key of the sentinel.
    """
    found = ByRound({}, {})
    for visit in visits:
        if visit.key == sentinel:
            found.sentinel.setdefault(visit.round, []).append(visit.samples)
        if visit.key in programs:
            found.programs.setdefault(visit.key, {}).setdefault(visit.round, visit.samples)
    return found


def hold(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Keep every other run out of a device's folder; see :func:`repvit_nas.folders.held`."""
    return held(folder, otherwise="choose another --device name")
