"""The folder of a run: who may write into it, and what is written when."""

import contextlib
import shutil
from pathlib import Path
from typing import Final

from repvit_nas import files
from repvit_nas.architecture import architecture_json
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.search.checkpoint import CHECKPOINT_FILE, Checkpoint
from repvit_nas.search.records import (
    BEST,
    FRONT_FILE,
    RUN_FILE,
    WINNERS_FOLDER,
    Result,
    RunFile,
    read_run,
)
from repvit_nas.search.settings import Settings

PICTURE_FILE: Final = "front.png"
PAGE_FILE: Final = "README.md"
_OURS: Final = (RUN_FILE, FRONT_FILE, PICTURE_FILE, PAGE_FILE, CHECKPOINT_FILE)


class RunFolder:
    """One run's folder, from the check that it may be used to the finished files.

    A study logs into it batch by batch; everything else is written when the search has ended. So a
    folder without `run.json` holds an unfinished study, or nothing of ours.
    """

    def __init__(self, path: Path, settings: Settings, digest: str) -> None:
        self.path = path
        self._settings = settings
        self._digest = digest
        self._existed = path.exists()
        self._new_parents = [parent for parent in path.parents if not parent.exists()]
        self.checkpoint = Checkpoint(path / CHECKPOINT_FILE, digest)

    def claim(self, *, resume: bool, overwrite: bool) -> None:
        """Make sure that the folder may take the run; clear another run if `overwrite` says so.

        Raises:
            RepvitNasError: It holds another run, other files, or nothing to resume.
            FileError: It cannot be written.
        """
        if self._existed and not self.path.is_dir():
            raise RepvitNasError(f"{self.path}: is a file; choose another folder with --out")
        if overwrite:
            self._clear()
        elif self._existed and any(self.path.iterdir()):
            self._check(resume=resume)
        elif resume:
            raise RepvitNasError(f"{self.path}: there is no run to resume; leave out --resume")
        self._probe()

    def _check(self, *, resume: bool) -> None:
        run = self._run()
        started = self.checkpoint.path.is_file()
        if run is None and not started:
            raise RepvitNasError(
                f"{self.path}: holds files that are no run; choose another folder with --out"
            )
        if started:
            self.checkpoint.read()  # another search's log, or a broken one, is refused here
        same = run is None or run.digest == self._digest
        if not same:
            raise RepvitNasError(
                f"{self.path}: holds another run (other settings, or fitted on other data); choose "
                "another folder with --out, or replace it with --overwrite"
            )
        if resume and not started:
            raise RepvitNasError(
                f"{self.path}: its study was not kept, so it cannot be resumed; leave out --resume"
            )
        again = run is not None and run.complete and run.settings == self._settings
        if not resume and not again:
            raise RepvitNasError(
                f"{self.path}: holds this search with another number of trials, or unfinished; go "
                "on with --resume, or start again with --overwrite"
            )

    def _run(self) -> RunFile | None:
        if not (self.path / RUN_FILE).is_file():
            return None
        try:
            return read_run(self.path)
        except FileError as error:
            raise FileError(f"{error}; replace the run with --overwrite") from error

    def _probe(self) -> None:
        """Fail now rather than after the search if the folder cannot be written."""
        probe = self.path / ".writable"
        files.write_bytes(probe, b"")
        probe.unlink(missing_ok=True)

    def _clear(self) -> None:
        with contextlib.suppress(OSError):
            for name in _OURS:
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.path / WINNERS_FOLDER, ignore_errors=True)

    def abandon(self, *, study: bool = False) -> None:
        """Leave nothing half-made behind; a study with a finished batch stays unless told."""
        log = self.checkpoint.path
        with contextlib.suppress(OSError):
            batches = log.read_bytes().count(b"\n") - 1 if log.is_file() else 0
            if study or batches < 1:
                log.unlink(missing_ok=True)
            if not self._existed:
                for folder in (self.path, *self._new_parents):
                    folder.rmdir()  # stops at the first that is not empty

    def write(self, result: Result, run: RunFile, *, page: str, picture: bytes) -> None:
        """Write a finished run, `run.json` last, which marks it as finished.

        Raises:
            FileError: The folder cannot be written or is full; the study's log stays.
        """
        by_name = {entry.architecture.name: entry.architecture for entry in result.front}
        winners = {name: by_name[name] for name in result.winners}
        if result.best is not None:
            winners[BEST] = result.best.architecture
        folder = self.path / WINNERS_FOLDER
        for name, architecture in winners.items():
            files.write_bytes(folder / f"{name}.json", architecture_json(architecture))
        for stale in folder.glob("*.json"):
            if stale.stem not in winners:
                stale.unlink()
        files.write_bytes(self.path / FRONT_FILE, files.encode_lines(result, "front"))
        files.write_bytes(self.path / PICTURE_FILE, picture)
        files.write_bytes(self.path / PAGE_FILE, page.encode())
        files.write_json(self.path / RUN_FILE, run)
