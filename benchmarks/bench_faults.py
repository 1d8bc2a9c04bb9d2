"""Bad luck, counted: kill -9 at random moments, full and read-only disks, two writers, readers.

python benchmarks/bench_faults.py [--times 20] [--seed 0] [--only search,fit] [--ways kill,disk]

Every command is run undisturbed once. Then it is disturbed at a random moment, run again as its own
words say, and what it leaves is compared with what the undisturbed one left. Last, what commands replace
is read all the while. Hours; full and read-only disks need the right to mount.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from repvit_nas.commands import main as run_command
from repvit_nas.errors import RepvitNasError

sys.path.append(str(Path(__file__).parent))
from fault_cases import CASES, REPLACED, Case, Replaced

# A file beside another that was never renamed; a kill may leave one, an error may not.
_BESIDE = re.compile(r"^\..+\.[A-Za-z0-9_]{8}$")
# Where commands keep temporary files: in the folder that they work in, so that nothing stays behind.
_TEMPORARY = ".temporary"
_LIMIT_S = 600
# Processes that are copies of this one start at once, with all libraries.
_FORK = multiprocessing.get_context("fork")


class Usual(NamedTuple):
    """What a command does undisturbed.

    Attributes:
        seconds: How long it takes.
        written: By how many bytes its disk is fuller afterwards.
        largest: The bytes of the largest file that it leaves.
        left: Digests of what is the same whatever happens.
    """

    seconds: float
    written: int
    largest: int
    left: dict[str, str]


class Luck(NamedTuple):
    """How a disturbance went: whether it met the command, and what is wrong at once."""

    met: bool
    wrong: str = ""


@contextlib.contextmanager
def at_home(case: Case, *, disk: bool) -> Iterator[Path]:
    """Give a folder that holds what a command works on, on a disk of its own where that can be."""
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        home = Path(place)
        if disk:
            _mount("-t", "tmpfs", "tmpfs", place)
            # A process that was just killed may still be there.
            stack.callback(subprocess.run, ["umount", "--lazy", place], check=True)
        (home / _TEMPORARY).mkdir()
        with contextlib.chdir(home):
            case.lay()
        yield home


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def may_mount() -> bool:
    """Return whether this process may mount, which root alone may, and not everywhere."""
    with tempfile.TemporaryDirectory() as place:
        words = ["mount", "-t", "tmpfs", "tmpfs", place]
        if subprocess.run(words, check=False, capture_output=True).returncode:
            return False
        subprocess.run(["umount", place], check=True)
        return True


class Running:
    """A command that was started: a copy of this process, which has all libraries.

    Args:
        words: Its command line.
        home: The folder that it works in.
        most: As many bytes as a file can have.
    """

    def __init__(
        self, words: Sequence[str], home: Path, most: int = resource.RLIM_INFINITY
    ) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in the end
        self._process = _FORK.Process(target=self._run, args=(words, home, most))
        self._process.start()

    def _run(self, words: Sequence[str], home: Path, most: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        os.chdir(home)
        os.environ["TMPDIR"] = str(home / _TEMPORARY)
        tempfile.tempdir = None
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(self._said.fileno(), 2)
        sys.argv = ["repvit-nas", *words]
        # What processes that the command starts import first.
        sys.modules["__main__"] = importlib.import_module("repvit_nas.__main__")
        run_command()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait so long or until it ends; return whether it still runs."""
        self._process.join(seconds)
        return self.runs

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.join()

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and the last line that it said."""
        if self.wait(_LIMIT_S):
            self.kill()
        with self._said as file:
            file.seek(0)
            said = file.read().strip().splitlines()
        return self._process.exitcode or 0, said[-1] if said else ""


def start(case: Case, home: Path, *more: str) -> Running:
    """Start a command in a folder."""
    return Running((*case.words, *more), home)


def fails(case: Case, code: int, said: str) -> bool:
    """Return whether a command that was left alone ended badly."""
    fine = (case.verdict and code == 1 and "error: " not in said) or (
        case.done and case.done in said
    )
    return code != 0 and not fine


def refused(code: int, said: str) -> str:
    """Say what is wrong with how a command ended on a disk that it could not write."""
    if code == 0 or (said.startswith("error: ") and "unexpected" not in said):
        return ""
    return f"says: {said[:200]}"


def left(case: Case, home: Path) -> dict[str, str]:
    """Return digests of what is the same, whatever happened on the way."""
    paths = {name: home / case.folder / name for name in case.same}
    found = {name: path.read_bytes() for name, path in paths.items() if path.exists()}
    if case.part:
        found = {
            name: json.dumps(json.loads(each)[case.part]).encode() for name, each in found.items()
        }
    return {name: hashlib.sha256(each).hexdigest()[:12] for name, each in found.items()}


def usual(case: Case, *, disk: bool) -> Usual:
    """Run a command undisturbed."""
    with at_home(case, disk=disk) as home:
        begun, before = time.monotonic(), used(home)
        code, said = start(case, home).end()
        seconds = time.monotonic() - begun
        if fails(case, code, said):
            raise RuntimeError(f"fails undisturbed: {said}")
        sizes = [path.stat().st_size for path in home.rglob("*") if path.is_file()]
        return Usual(seconds, used(home) - before, max(sizes), left(case, home))


def used(home: Path) -> int:
    """Return how many bytes of a disk are in use."""
    disk = os.statvfs(home)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def finished(case: Case, home: Path) -> str:
    """Run a command after it was disturbed; say what is wrong with what it leaves."""
    log = home / case.folder / case.grows
    before = log.read_bytes() if case.grows and log.exists() else b""
    code, said = start(case, home, *(case.again if (home / case.folder).exists() else ())).end()
    if code and "leave out --resume" in said:  # it was killed before there was anything
        code, said = start(case, home).end()
    if fails(case, code, said):
        return f"does not go on: {said}"
    if case.grows and not log.read_bytes().startswith(before[: before.rfind(b"\n") + 1]):
        return f"{log.name} lost lines"
    for path in (home / case.folder).rglob("*.json"):
        try:
            json.loads(path.read_text())
        except ValueError:
            return f"{path.name} is torn"
    locks = [path.name for path in home.rglob(".lock")]
    return f"left {locks}" if locks else ""


def killed(case: Case, home: Path, share: float, known: Usual) -> Luck:
    """Kill a command at a moment."""
    process = start(case, home)
    met = process.wait(share * known.seconds)
    process.kill()
    for path in home.rglob("*"):  # what a kill may leave, and the next writer need not know
        if _BESIDE.match(path.name) and path.is_file():
            path.unlink()
    return Luck(met)


def limited(case: Case, home: Path, share: float, known: Usual) -> Luck:
    """Run a command where no file may become larger than some size."""
    ended = Running(case.words, home, int(share * known.largest)).end()
    return _stopped(case, home, known, *ended)


def full(case: Case, home: Path, share: float, known: Usual) -> Luck:
    """Run a command on a disk that is full after some of it; then there is room again."""
    _mount("-o", f"remount,size={used(home) + int(share * known.written) + 4096}", str(home))
    ended = start(case, home).end()
    _mount("-o", "remount,size=50%", str(home))
    return _stopped(case, home, known, *ended)


def _stopped(case: Case, home: Path, known: Usual, code: int, said: str) -> Luck:
    """Return how a command fared that could not write all."""
    if code == 0 and left(case, home) != known.left:
        return Luck(True, "ends well without having written all")
    beside = [path.name for path in home.rglob(".*") if _BESIDE.match(path.name)]
    return Luck(code != 0, refused(code, said) or (f"left {beside[:2]}" if beside else ""))


def read_only(case: Case, home: Path, share: float, known: Usual) -> Luck:
    """Make a command's folder one that cannot be written, at a moment, until it has ended."""
    process = start(case, home)
    process.wait(share * known.seconds)
    place = home / case.folder
    place.mkdir(parents=True, exist_ok=True)
    # Laid over the folder: a disk on which a file is open for writing cannot be made read-only.
    _mount("--bind", str(place), str(place))
    _mount("-o", "remount,bind,ro", str(place))
    met = process.runs
    code, said = process.end()
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    return Luck(met, refused(code, said) if fails(case, code, said) else "")


def twice(case: Case, home: Path, share: float, known: Usual) -> Luck:
    """Start a command, and once more: one of them has to say that the other writes."""
    first = start(case, home)
    met, second = first.wait(share * known.seconds / 2), start(case, home)
    ends = [first.end(), second.end()]
    errors = [said for code, said in ends if fails(case, code, said)]
    if len(errors) == 2 or any("error: " not in said for said in errors):
        return Luck(met, f"two writers end with {ends}")
    return Luck(met)


WAYS = {
    "kill": killed,
    "limit": limited,
    "disk": full,
    "read-only": read_only,
    "two": twice,
}
_NEED_A_DISK = ("disk", "read-only")


def disturbed(
    case: Case, way: str, known: Usual, times: int, rng: random.Random, *, disk: bool
) -> str:
    """Disturb a command so many times; return the count, and what went wrong."""
    met, tried, wrong = 0, 0, list[str]()
    while met < times and tried < 3 * times:
        with at_home(case, disk=disk) as home:
            luck = WAYS[way](case, home, rng.uniform(0.02, 1.0), known)
            found = luck.wrong or finished(case, home)
            if not found and left(case, home) != known.left:
                found = "ends in other files than undisturbed"
        met, tried = met + luck.met, tried + 1
        wrong += [found] if found else []
    return f"{met:4} times, {len(wrong)} wrong {wrong[:2] or ''}"


def read_on(item: Replaced, times: int) -> str:
    """Read something all the while it is replaced so many times; return the count."""
    case, reads, wrong = CASES[item.case], 0, list[str]()
    with at_home(case, disk=False) as home, contextlib.chdir(home):
        start(case, home).end()
        for number in range(1, times + 1):
            process = start(case, home, *item.again(number))
            while process.runs:
                try:
                    item.read()
                except RepvitNasError as error:
                    wrong.append(str(error))
                reads += 1
            code, said = process.end()
            if fails(case, code, said):
                wrong.append(said)
    return f"{times:4} times, {reads:,} reads, {len(wrong)} wrong {wrong[:2] or ''}"


def main(words: Sequence[str] | None = None) -> int:
    """Print the counts; return 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join([*CASES, *REPLACED]))
    parser.add_argument("--ways", default=",".join(WAYS))
    asked = parser.parse_args(words)
    only, ways, disk = asked.only.split(","), asked.ways.split(","), may_mount()
    if not disk and set(_NEED_A_DISK) & set(ways):
        print("disk and read-only are left out: they need the right to mount")
        ways = [way for way in ways if way not in _NEED_A_DISK]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no disk stays behind
    rng, counts = random.Random(asked.seed), list[str]()

    def say(name: str, way: str, count: str) -> None:
        print(f"{name:22}{way:11}{count}".rstrip(), flush=True)
        counts.append(count)

    for name in only:
        item = CASES.get(name)
        case = item or CASES[REPLACED[name].case]
        for library in case.libraries:
            importlib.import_module(library)
        if item is None:
            say(name, "read", read_on(REPLACED[name], asked.times))
            continue
        known = usual(case, disk=disk)
        for way in ways:
            say(name, way, disturbed(case, way, known, asked.times, rng, disk=disk))
    return int(any(" 0 wrong" not in count for count in counts))


if __name__ == "__main__":
    sys.exit(main())
