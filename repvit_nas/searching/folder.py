"""The folder of a run: who may write into it, and what is written when."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from repvit_nas import files
from repvit_nas.architecture import architecture_json
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.folders import LOCK_FILES, Resume, held, missing, remove_empty
from repvit_nas.search_space.space import Space
from repvit_nas.searching.checkpoint import CHECKPOINT_FILE, Checkpoint
from repvit_nas.searching.records import (
    BEST,
    FRONT_FILE,
    RUN_FILE,
    SPACE_FILE,
    TABLE_FILE,
    WHOLE_FILE,
    WINNERS_FOLDER,
    Result,
    RunFile,
    front_columns,
    read_run,
)
from repvit_nas.searching.settings import Settings

PICTURE_FILE: Final = "front.png"
PAGE_FILE: Final = "README.md"
# How long a search waits for another one of the same study, which writes for a moment.
_SHARED_WAIT_S: Final = 60.0
# Where a run is made whole before it takes the place of another.
NEW_FOLDER: Final = ".new"
_MADE: Final = f"{NEW_FOLDER}/run"
# Everything that is made, replaced or deleted in a run's folder.
_OURS: Final = (
    *LOCK_FILES,
    CHECKPOINT_FILE,
    RUN_FILE,
    FRONT_FILE,
    TABLE_FILE,
    SPACE_FILE,
    PICTURE_FILE,
    PAGE_FILE,
    WINNERS_FOLDER,
    WHOLE_FILE,
    NEW_FOLDER,
    f"{NEW_FOLDER}/{CHECKPOINT_FILE}",
    _MADE,
    f"{_MADE}/{WINNERS_FOLDER}",
)


class RunFolder:
    """One run's folder, from the check that it may be used to the finished files.

    A study logs into it batch by batch; everything else is written when the search has ended. So a
    folder without `run.json` holds an unfinished study, or nothing of ours. A study that replaces
    another run logs beside it, and the other run stays until the new one is there.
    """

    def __init__(self, path: Path, settings: Settings, digest: str) -> None:
        self.path = path
        self._settings = settings
        self._digest = digest
        self._new = path / NEW_FOLDER
        self._shared = self._overwrite = False
        self.checkpoint = Checkpoint(path / CHECKPOINT_FILE, digest)

    @contextlib.contextmanager
    def claimed(
        self, *, resume: Resume = False, overwrite: bool = False, shared: bool = False
    ) -> Iterator[None]:
        """Keep the folder for one run; nothing half-made is left behind if it fails.

        Searches that share a study find the same and may share the folder: each keeps it only while
        it looks and while it writes.

        Args:
            resume: Go on with the run in it; `auto`, or start one where there is none.
            overwrite: Replace another run in it.
            shared: The study is shared, in a storage.

        Raises:
            RepvitNasError: It holds another run, other files, or nothing to resume, or another
                search is writing into it.
            FileError: It cannot be written.
        """
        self._refuse_links()
        self._shared, self._overwrite = shared, overwrite
        made = missing(self.path)
        with held(self.path, wait_s=_SHARED_WAIT_S if shared else 0):
            self._check(resume=resume, overwrite=overwrite, shared=shared)
            if not shared:
                with self._or_nothing():
                    yield
        if shared:
            try:
                with self._or_nothing():
                    yield
            except BaseException:
                remove_empty(made)
                raise

    @contextlib.contextmanager
    def _or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.abandon()
            raise

    def _refuse_links(self) -> None:
        """Raise where a file of the run is a link: what is behind it is not the run's."""
        for name in _OURS:
            path = self.path / name
            if os.path.islink(path):  # noqa: PTH114  # unlike the path's own, False for a name too long
                raise RepvitNasError(
                    f"{path}: is a link, and a run keeps its files in its own folder; remove it, or "
                    "choose another folder with --out"
                )

    def _check(self, *, resume: Resume, overwrite: bool, shared: bool) -> None:
        run_is_there = (self.path / RUN_FILE).is_file()
        started = self.checkpoint.path.is_file()
        if resume == "auto":
            resume = started or shared
        if not run_is_there and not started:
            if any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise RepvitNasError(
                    f"{self.path}: holds files that are no run; choose another folder with --out"
                )
            if resume and not (overwrite or shared):
                raise RepvitNasError(f"{self.path}: there is no run to resume; leave out --resume")
            return
        if not overwrite:
            self._check_same(resume=resume, started=started, shared=shared)
        if overwrite or not resume:
            self.checkpoint = Checkpoint(self._new / CHECKPOINT_FILE, self._digest)
            if shared or not resume:  # what is left of a replacement that was killed
                self.checkpoint.path.unlink(missing_ok=True)

    def _check_same(self, *, resume: bool, started: bool, shared: bool) -> None:
        run = self._run()
        if started:
            self.checkpoint.read()  # another search's log, or a broken one, is refused here
        if run is not None and run.digest != self._digest:
            raise RepvitNasError(
                f"{self.path}: holds another run (other settings, or fitted on other data); choose "
                "another folder with --out, or replace it with --overwrite"
            )
        if resume and not (started or shared):
            raise RepvitNasError(
                f"{self.path}: its study was not kept, so it cannot be resumed; leave out --resume"
            )
        again = run is not None and run.complete and run.settings == self._settings
        if not resume and not again:
            raise RepvitNasError(
                f"{self.path}: holds this search with another number of trials, or unfinished; go "
                "on with --resume, start again with --overwrite, or choose another folder with "
                "--out"
            )

    def _run(self) -> RunFile | None:
        if not (self.path / RUN_FILE).is_file():
            return None
        try:
            return read_run(self.path)
        except FileError as error:
            raise FileError(
                f"{error}; replace the run with --overwrite, or choose another folder with --out"
            ) from error

    def abandon(self, *, study: bool = False) -> None:
        """Leave nothing half-made behind; a study with a finished batch stays unless told."""
        log = self.checkpoint.path
        with contextlib.suppress(OSError):
            batches = log.read_bytes().count(b"\n") - 1 if log.is_file() else 0
            if study or batches < 1:
                log.unlink(missing_ok=True)
        remove_empty([self._new])

    def write(
        self,
        result: Result,
        run: RunFile,
        space: Space,
        *,
        page: str,
        picture: bytes,
        whole: bytes = b"",
    ) -> None:
        """Write a finished run: all of it beside the old one, which it then replaces.

        Without a `run.json` the folder holds an unfinished study, so that goes first and comes last.

        Args:
            result: The front and what is known of it.
            run: How to repeat it.
            space: Where its networks come from.
            page: The run's page in Markdown.
            picture: Its picture as PNG.
            whole: The whole front, packed, where that in `result` is thinned.

        Raises:
            FileError: The folder cannot be written or is full; the study's log stays, and so does
                the run that was to be replaced.
        """
        contents = _contents(result, run, space, page=page, picture=picture, whole=whole)
        if not self._shared:
            self._write(contents)
            return
        with held(self.path, wait_s=_SHARED_WAIT_S):
            # Another search of the same study may have finished meanwhile.
            self._check(resume=True, overwrite=self._overwrite, shared=True)
            self._write(contents)

    def _write(self, contents: dict[str, bytes]) -> None:
        made = self.path / _MADE
        try:
            for name, content in contents.items():
                files.write_bytes(made / name, content)
            self._replace(made, list(contents))
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
            remove_empty([self._new])

    def _replace(self, made: Path, names: list[str]) -> None:
        (self.path / RUN_FILE).unlink(missing_ok=True)
        (self.path / WINNERS_FOLDER).mkdir(exist_ok=True)
        log = self.path / CHECKPOINT_FILE
        if self.checkpoint.path.is_file():
            self.checkpoint.path.replace(log)
        else:
            log.unlink(missing_ok=True)
        for stale in (self.path / WINNERS_FOLDER).glob("*.json"):
            if f"{WINNERS_FOLDER}/{stale.name}" not in names:
                stale.unlink()
        if WHOLE_FILE not in names:
            (self.path / WHOLE_FILE).unlink(missing_ok=True)
        for name in names:
            (made / name).replace(self.path / name)


def _contents(
    result: Result, run: RunFile, space: Space, *, page: str, picture: bytes, whole: bytes
) -> dict[str, bytes]:
    """Return the files of a run by name, `run.json` last."""
    winners = {entry.architecture.name: entry.architecture for entry in result.winning}
    if result.best is not None:
        winners[BEST] = result.best.architecture
    return {
        **{
            f"{WINNERS_FOLDER}/{name}.json": architecture_json(architecture)
            for name, architecture in winners.items()
        },
        **({WHOLE_FILE: whole} if whole else {}),
        FRONT_FILE: files.encode_lines(result, "front"),
        TABLE_FILE: files.encode_csv(front_columns(result)),
        SPACE_FILE: files.encode_json(space.file),
        PICTURE_FILE: picture,
        PAGE_FILE: page.encode(),
        RUN_FILE: files.encode_json(run),
    }
