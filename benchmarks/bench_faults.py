"""Bad luck, counted: kill -9 at random moments, full and read-only disks, two writers, readers.

python benchmarks/bench_faults.py [--times 20] [--seed 0] [--only search,fit]

Every command is run undisturbed once. Then it is disturbed at a random moment, run again as its own
words say, and what it leaves is compared with what the undisturbed one left. Minutes to an hour.
"""

import argparse
import contextlib
import hashlib
import json
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.predictor import read_predictor

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))
from writers import lay_reports, lay_trained  # type: ignore[import-not-found]  # noqa: E402

# Least and most bytes that a file may have on a disk that is full.
_FULL = (200, 60_000)
# A file beside another that was never renamed; a kill may leave one, an error may not.
_BESIDE = re.compile(r"^\..+\.[A-Za-z0-9_]{8}$")
_LIMIT_S = 600


class Case(NamedTuple):
    """A writing command.

    Attributes:
        words: Its command line.
        folder: What it writes to.
        again: What has to be added to go on where something was left.
        same: Files that are the same, whatever happened on the way.
        lay: What it works on.
        verdict: Whether exit code 1 without an error is what it found, and no failure.
        part: What is the same of these files, where the rest tells times.
    """

    words: tuple[str, ...]
    folder: str
    again: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    lay: Callable[[], None] = lambda: None
    verdict: bool = False
    part: str = ""


_SMALL = str(ROOT / "tests" / "small.toml")
_SEARCH = ("search", "--budget-ms", "1", "--trials", "60", "--space", _SMALL, "--out", "r")
_TRAIN = ("train", "repvit_m0_6", "--data", "digits", "--epochs", "1", "--resolution", "32")
CASES = {
    "search": Case(_SEARCH, "r", ("--resume",), ("front.json", "winners/best.json")),
    "search in SQLite": Case(
        (*_SEARCH, "--storage", "sqlite:///s.db"),
        "r",
        ("--resume",),
        ("front.json",),
    ),
    "fit": Case(
        ("fit", "--device", "iphone13"),
        "predictors/iphone13",
        same=("validation.json",),
    ),
    "measure-lut": Case(
        (
            *("measure-lut", "--device", "cpu", "--units", "8", "--networks", "2"),
            *("--calibration", "3", "--resolution", "160", "--no-isolated"),
        ),
        "latency_lut/cpu",
    ),
    "train": Case(
        (*_TRAIN, "--out", "t", "--save-every", "10"),
        "t",
        ("--resume", "auto"),
        ("model.safetensors",),
    ),
    "export": Case(
        ("export", "repvit_m0_6", "--format", "onnx", "--out", "e"),
        "e",
        same=("architecture.json",),
    ),
    "check": Case(
        ("check", "run"),
        "run",
        same=("check.json",),
        lay=lay_trained,
        verdict=True,
        part="promises",
    ),
    "import": Case(
        ("import-measurements", "reports", "--device", "iphone12"),
        "latency_lut/iphone12",
        same=("table.json",),
        lay=lay_reports,
    ),
    "--export": Case(
        (
            *("measure-lut", "--device", "iphone12", "--export", "programs", "--units", "8"),
            *("--networks", "2", "--calibration", "3", "--resolution", "160"),
        ),
        "programs",
        same=("plan.json", "manifest.json"),
    ),
}


@contextlib.contextmanager
def at_home(case: Case) -> Iterator[Path]:
    """Give a folder that holds what a command works on."""
    with tempfile.TemporaryDirectory() as place:
        with contextlib.chdir(place):
            case.lay()
        yield Path(place)


def start(
    case: Case, home: Path, *, again: bool = False, most: int | None = None
) -> subprocess.Popen[str]:
    """Start a command in a folder; `most` bytes is as large as a file can become."""

    def limit() -> None:
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    words = (*case.words, *(case.again if again else ()))
    return subprocess.Popen(
        [sys.executable, "-m", "repvit_nas", *words],
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509  # no threads here
    )


def fails(case: Case, code: int, said: str) -> bool:
    """Return whether a command that was left alone ended badly."""
    return code != 0 and not (case.verdict and code == 1 and "error: " not in said)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command; return its exit code and the last line that it said."""
    _, said = process.communicate(timeout=_LIMIT_S)
    return process.returncode, (said.strip().splitlines() or [""])[-1]


def left(case: Case, home: Path) -> dict[str, str]:
    """Return digests of what is the same, whatever happened on the way."""
    found = {name: (home / case.folder / name).read_bytes() for name in case.same}
    if case.part:
        found = {
            name: json.dumps(json.loads(each)[case.part]).encode() for name, each in found.items()
        }
    return {name: hashlib.sha256(each).hexdigest()[:12] for name, each in found.items()}


def finished(case: Case, home: Path) -> str:
    """Run a command after it was disturbed; say what is wrong with what it leaves."""
    code, said = end(start(case, home, again=(home / case.folder).exists()))
    if code and "leave out --resume" in said:  # it was killed before there was anything
        code, said = end(start(case, home))
    if fails(case, code, said):
        return f"does not go on: {said}"
    for path in (home / case.folder).rglob("*.json"):
        try:
            json.loads(path.read_text())
        except ValueError:
            return f"{path.name} is torn"
    locks = [path.name for path in home.rglob(".lock")]
    return f"left {locks}" if locks else ""


def disturbed(
    case: Case, times: int, rng: random.Random, disturb: Callable[[Path, float], str]
) -> list[str]:
    """Disturb a command so many times; return what went wrong."""
    with at_home(case) as home:
        begun = time.monotonic()
        code, said = end(start(case, home))
        took = time.monotonic() - begun
        if fails(case, code, said):
            return [f"fails undisturbed: {said}"]
        wanted = left(case, home)
    wrong = []
    for _ in range(times):
        with at_home(case) as home:
            found = disturb(home, rng.uniform(0.05, 1.0) * took) or finished(case, home)
            if not found and left(case, home) != wanted:
                found = "ends in other files than undisturbed"
            if found:
                wrong.append(found)
    return wrong


def killed(case: Case) -> Callable[[Path, float], str]:
    """Return what kills a command after so many seconds."""

    def disturb(home: Path, seconds: float) -> str:
        process = start(case, home)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in home.rglob("*"):  # what a kill may leave, and the next writer need not know
            if _BESIDE.match(path.name) and path.is_file():
                path.unlink()
        return ""

    return disturb


def full(case: Case, rng: random.Random) -> Callable[[Path, float], str]:
    """Return what runs a command on a disk that has no room for a file of some size."""

    def disturb(home: Path, _: float) -> str:
        code, said = end(start(case, home, most=rng.randint(*_FULL)))
        if code == 0 or refused(code, said):
            return refused(code, said)
        beside = [path.name for path in home.rglob(".*") if _BESIDE.match(path.name)]
        return f"left {beside[:2]}" if beside else ""

    return disturb


def small_disk(case: Case, rng: random.Random) -> Callable[[Path, float], str]:
    """Return what runs a command on a disk that is full after some of it, then in the same place."""

    def disturb(home: Path, _: float) -> str:
        place = home / case.folder
        place.mkdir(parents=True, exist_ok=True)
        kept = [(path.name, path.read_bytes()) for path in place.iterdir() if path.is_file()]
        size = sum(len(content) for _, content in kept) + rng.randint(8, 400) * 1024
        with mounted(place, "tmpfs", f"size={size}"):
            for name, content in kept:
                (place / name).write_bytes(content)
            code, said = end(start(case, home))
        return refused(code, said)

    return disturb


def read_only(case: Case) -> Callable[[Path, float], str]:
    """Return what makes a command's folder one that cannot be written after so many seconds."""

    def disturb(home: Path, seconds: float) -> str:
        place = home / case.folder
        place.mkdir(parents=True, exist_ok=True)
        with mounted(place, str(place), "bind"):
            process = start(case, home)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            while process.poll() is None:  # refused for as long as a file is open for writing
                words = ["mount", "-o", "remount,bind,ro", str(place)]
                if not subprocess.run(words, check=False, capture_output=True).returncode:
                    break
                time.sleep(0.05)
            code, said = end(process)
        return refused(code, said)

    return disturb


def refused(code: int, said: str) -> str:
    """Say what is wrong with how a command ended on a disk that it could not write."""
    if code == 0 or (said.startswith("error: ") and "unexpected" not in said):
        return ""
    return f"says: {said[:200]}"


@contextlib.contextmanager
def mounted(place: Path, what: str, options: str) -> Iterator[None]:
    """Mount something at a place for a while."""
    kind = ["-t", "tmpfs"] if what == "tmpfs" else []
    subprocess.run(["mount", *kind, "-o", options, what, str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def may_mount() -> bool:
    """Return whether this process may mount, which root alone may, and not everywhere."""
    with tempfile.TemporaryDirectory() as place:
        words = ["mount", "-t", "tmpfs", "tmpfs", place]
        if subprocess.run(words, check=False, capture_output=True).returncode:
            return False
        subprocess.run(["umount", place], check=True)
        return True


def two_writers(case: Case) -> Callable[[Path, float], str]:
    """Return what starts a command twice: one of them has to say that the other writes."""

    def disturb(home: Path, _: float) -> str:
        both = [start(case, home), start(case, home)]
        ends = [end(process) for process in both]
        refused = [said for code, said in ends if code]
        if len(refused) == 2 or any("error: " not in said for said in refused):
            return f"two writers end with {ends}"
        return ""

    return disturb


def readers(times: int) -> list[str]:
    """Read a predictor all the time while it is fitted; return what went wrong."""
    case, wrong = CASES["fit"], []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as place:
            home = Path(place)
            shutil.copytree(ROOT / "predictors" / "iphone13", home / case.folder)
            process = start(case, home)
            while process.poll() is None:
                try:
                    read_predictor(home / case.folder / "predictor.json")
                except RepvitNasError as error:
                    wrong.append(str(error))
                time.sleep(0.002)
            end(process)
    return wrong


def main(words: Sequence[str] | None = None) -> int:
    """Print the counts; return how many went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join([*CASES, "readers"]))
    parser.add_argument("--ways", default="kill,full,disk,read-only,two")
    asked = parser.parse_args(words)
    only, ways = asked.only.split(","), asked.ways.split(",")
    if {"disk", "read-only"} & set(ways) and not may_mount():
        print("disk and read-only are left out: they need the right to mount")
        ways = [way for way in ways if way not in ("disk", "read-only")]
    rng = random.Random(asked.seed)
    total = 0
    for name, case in CASES.items():
        if name not in only:
            continue
        for way, disturb in (
            ("kill", killed(case)),
            ("full", full(case, rng)),
            ("disk", small_disk(case, rng)),
            ("read-only", read_only(case)),
            ("two", two_writers(case)),
        ):
            if way in ways:
                wrong = disturbed(case, asked.times, rng, disturb)
                total += len(wrong)
                print(
                    f"{name:18}{way:10}{asked.times:4} times, {len(wrong)} wrong {wrong[:2]}",
                    flush=True,
                )
    if "readers" in only:
        wrong = readers(max(1, asked.times // 4))
        total += len(wrong)
        print(f"{'readers of a fit':28}{len(wrong)} wrong {wrong[:2]}")
    return total


if __name__ == "__main__":
    sys.exit(min(1, main()))
