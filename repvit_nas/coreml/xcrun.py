"""Apple's tools, all of them through `xcrun`: argument lists, time-outs, and nothing left behind."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol

from repvit_nas.errors import RepvitNasError

# Seconds. A copy or a question to the phone takes 1 to 8; a build, minutes.
QUICK: Final = 60.0
COPY: Final = 180.0
BUILD: Final = 1200.0
_GRACE: Final = 3.0
# Between two looks whether a command ended; Python's own wait looks every 50 ms only.
_LOOK: Final = 0.005
_SHOWN: Final = 300
# What launching says, and what installing and building say, which mount a disk image on the device:
# `kAMDMobileImageMounterDeviceLocked: The device is locked.`
_LOCKED: Final = re.compile(r"device[^.]{0,60}\b(un)?locked\b|DeviceLocked", re.IGNORECASE)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


class Process(Protocol):
    """A command that goes on: the app on the phone, for as long as it runs."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        ...

    def said(self) -> str:
        """Return what it printed so far."""
        ...

    def stop(self) -> None:
        """End it and everything it started."""
        ...


class Apple(Protocol):
    """What runs Apple's tools; tests put a simulated one in its place."""

    def run(self, words: list[str], timeout_s: float) -> Done:
        """Run a tool to its end.

        Raises:
            XcrunError: It cannot be run, or did not end in time.
        """
        ...

    def start(self, words: list[str]) -> Process:
        """Start a tool that goes on.

        Raises:
            XcrunError: It cannot be run.
        """
        ...


class XcrunError(RepvitNasError):
    """One of Apple's tools failed; `said` is the end of what it printed, in one line.

    Args:
        message: The message.
        said: What the tool printed.
        locked: Whether it printed that the device is locked.
    """

    def __init__(self, message: str, said: str = "", *, locked: bool = False) -> None:
        super().__init__(message)
        self.said = said
        self.locked = locked


def says_locked(text: str) -> bool:
    """Return whether Apple's tools say that the device is locked; keychains and databases may be too."""
    return _LOCKED.search(text) is not None


def _begun(words: list[str], out: IO[bytes], err: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start a process group of its own.

    Raises:
        XcrunError: The system cannot run it.
    """
    try:
        return subprocess.Popen(  # noqa: S603
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
    except OSError as error:
        said = error.strerror or str(error)
        raise XcrunError(
            f"{words[0]}: cannot be run: {said}; Apple's own is /usr/bin/xcrun: see that no other file "
            "of that name comes before it on the path, and repeat the command",
            said,
        ) from error


class _Started:
    """A process group of its own that goes on."""

    def __init__(self, words: list[str]) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop
        try:
            self._process = _begun(words, self._log, self._log)
        except BaseException:
            self._log.close()
            raise

    def poll(self) -> int | None:
        return self._process.poll()

    def said(self) -> str:
        if self._log.closed:
            return ""
        return _text(self._log)

    def stop(self) -> None:
        _end(self._process)
        self._log.close()


class Xcrun:
    """`xcrun` on the path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, words: list[str], timeout_s: float) -> Done:
        """Run a tool to its end, which is its own: what it started may go on, and is stopped.

        Raises:
            XcrunError: It cannot be run, or did not end in time; it is stopped with everything it
                started.
        """
        # Files, since a pipe ends only when the last of the processes that hold it does.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = _begun([str(self.path), *words], out, err)
            try:
                end = time.monotonic() + timeout_s
                while process.poll() is None:
                    if time.monotonic() > end:
                        raise XcrunError(
                            f"xcrun {' '.join(words[:4])}: did not end within {timeout_s:g} s and was "
                            "stopped; unlock the device, plug the cable in again, and repeat the command"
                        )
                    time.sleep(_LOOK)
            finally:
                _end(process)
            return Done(process.returncode, _text(out), _text(err))

    def start(self, words: list[str]) -> Process:
        """Start a tool that goes on.

        Raises:
            XcrunError: It cannot be run.
        """
        return _Started([str(self.path), *words])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process, gently first, and whatever is left of its group in any case."""
    try:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _text(file: IO[bytes]) -> str:
    """Return what was written to a file; the line ends are those of text."""
    file.seek(0)
    return file.read().decode(errors="replace").replace("\r\n", "\n")


@contextlib.contextmanager
def temporary_file(suffix: str = ".json") -> Iterator[Path]:
    """Give the path of a file that is not there yet, since not every tool overwrites one.

    It is removed in the end. Cheaper than a folder for each.
    """
    path = Path(tempfile.gettempdir()) / f"repvit-nas-{uuid.uuid4().hex}{suffix}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def find_xcrun() -> Xcrun | None:
    """Return `xcrun` if it is on the path."""
    found = shutil.which("xcrun")
    return Xcrun(Path(found)) if found else None


def tool(apple: Apple, words: list[str], timeout_s: float = QUICK) -> str:
    """Run a tool and return what it printed.

    Raises:
        XcrunError: It failed, or did not end in time.
    """
    done = apple.run(words, timeout_s)
    if done.code:
        said = " ".join((done.stderr.strip() or done.stdout).split())[-_SHOWN:]
        raise XcrunError(
            f"xcrun {' '.join(words[:4])}: exit code {done.code}: {said}",
            said,
            locked=says_locked(done.stderr + done.stdout),
        )
    return done.stdout


def devicectl(apple: Apple, words: list[str], timeout_s: float = QUICK) -> dict[str, Any]:
    """Run `xcrun devicectl` and return the result that it writes as JSON.

    Raises:
        XcrunError: It failed, did not end in time, or wrote no JSON.
    """
    with temporary_file() as path:
        command = ["devicectl", *words, "--json-output", str(path)]
        tool(apple, command, timeout_s)
        try:
            document = json.loads(path.read_bytes())
            outcome, result = document["info"]["outcome"], document.get("result", {})
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise XcrunError(
                f"xcrun devicectl {' '.join(words[:3])}: wrote no answer that can be read ({error}); "
                "Xcode 15 or newer is needed"
            ) from error
    if outcome != "success" or not isinstance(result, dict):
        said = str(document.get("error"))
        raise XcrunError(
            f"xcrun devicectl {' '.join(words[:3])}: {outcome}: {said}",
            said,
            locked=says_locked(said),
        )
    return result
