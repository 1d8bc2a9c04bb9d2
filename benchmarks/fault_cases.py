"""What `bench_faults.py` disturbs: writing commands, and what is read while they replace it."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from repvit_nas.api.search import read_search
from repvit_nas.architecture import write_architecture
from repvit_nas.latency_lut.table import read_table
from repvit_nas.predictors.predictor import read_predictor

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))
from writers import WRITERS, lay_reports, lay_trained  # type: ignore[import-not-found]  # noqa: E402


class Case(NamedTuple):
    """A writing command.

    Attributes:
        words: Its command line.
        folder: What it writes to.
        again: What has to be added to go on where something was left.
        same: Files that are the same, whatever happened on the way.
        part: What is the same of these files, where the rest tells times.
        grows: A log in the folder that no line is lost of.
        lay: What it works on.
        verdict: Whether exit code 1 without an error is what it found, and no failure.
        done: What an error says where there is nothing left to do.
        libraries: What it imports, which takes its time.
    """

    words: tuple[str, ...]
    folder: str
    again: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    part: str = ""
    grows: str = ""
    lay: Callable[[], None] = lambda: None
    verdict: bool = False
    done: str = ""
    libraries: tuple[str, ...] = ()


def lay_network() -> None:
    """Leave a network that is trained and exported in moments."""
    from training_support import small  # type: ignore[import-not-found]  # it imports torch

    write_architecture(Path("small.json"), small())


_SEARCHES = ("optuna", "sqlalchemy", "matplotlib.pyplot")
_FITS = ("sklearn.gaussian_process", "matplotlib.pyplot")
_TRAINS = ("torch", "timm.data", "matplotlib.pyplot")
_EXPORTS = ("torch", "onnx", "onnxruntime")


def _as_written(name: str, *same: str, libraries: tuple[str, ...] = ()) -> Case:
    """Return a command as the tests know it."""
    known = WRITERS[name]
    words = tuple(known.words.split())
    return Case(words, known.folder, same=same, lay=known.lay, libraries=libraries)


_SPACE = ("--space", str(ROOT / "tests" / "small.toml"))
_SEARCH = ("search", "--budget-ms", "1", "--trials", "60", *_SPACE, "--out", "r")
_FEW = ("--units", "8", "--networks", "2", "--calibration", "3", *_SPACE)
_IMAGES = ("--data", "shapes", "--train-images", "96", "--val-images", "24")
CASES = {
    "search": Case(
        _SEARCH, "r", ("--resume",), ("front.json", "winners/best.json"), libraries=_SEARCHES
    ),
    "search in SQLite": Case(
        (*_SEARCH, "--storage", "sqlite:///s.db", "--wait", "2", "--resume", "auto"),
        "r",
        same=("front.json",),
        part="front",
        libraries=_SEARCHES,
    ),
    "merge": _as_written("merge", "front.json", libraries=_SEARCHES),
    "fit": Case(
        ("fit", "--device", "iphone13"),
        "predictors/iphone13",
        same=("validation.json", "predictor.json"),
        libraries=_FITS,
    ),
    "measure-lut": Case(
        ("measure-lut", "--device", "cpu", *_FEW, "--no-isolated", "--precision", "0.9"),
        "latency_lut/cpu",
        same=("plan.json",),
        part="held_out",
        grows="visits.jsonl",
        libraries=(*_EXPORTS, *_FITS),
    ),
    "measure-lut --export": Case(
        ("measure-lut", "--device", "iphone12", "--export", "programs", *_FEW, "--no-isolated"),
        "programs",
        same=("plan.json", "manifest.json"),
        libraries=("repvit_nas.conversion.preload",),
    ),
    "import-measurements": Case(
        ("import-measurements", "reports", "--device", "iphone12"),
        "latency_lut/iphone12",
        same=("table.json",),
        lay=lay_reports,
        libraries=_FITS,
    ),
    "import-latencies": _as_written(
        "import-latencies",
        *("latencies.json", "../../predictors/iphone12/predictor.json"),
        libraries=_FITS,
    )._replace(done="is in latencies.json already"),
    "import-accuracy": _as_written("import-accuracy", "observations.jsonl", "posterior.json"),
    "train": Case(
        ("train", "small.json", *_IMAGES, "--epochs", "2", "--out", "t", "--save-every", "1"),
        "t",
        ("--resume", "auto"),
        ("model.safetensors",),
        lay=lay_network,
        libraries=_TRAINS,
    ),
    "export": Case(
        ("export", "small.json", "--format", "onnx", "--out", "e"),
        "e",
        same=("architecture.json",),
        lay=lay_network,
        libraries=_EXPORTS,
    ),
    "check": Case(
        ("check", "run"),
        "run",
        same=("check.json",),
        part="promises",
        lay=lay_trained,
        verdict=True,
        libraries=(*_TRAINS, *_EXPORTS),
    ),
}


class Replaced(NamedTuple):
    """What is read all the while it is replaced.

    Attributes:
        case: The command that replaces it.
        again: Makes the next time another one; returns what is added to the command line.
        read: Reads it, in the folder that the command works in.
    """

    case: str
    again: Callable[[int], tuple[str, ...]]
    read: Callable[[], object]


def _slower(number: int) -> tuple[str, ...]:
    """Have every program of the reports take longer than before."""
    path = Path("reports/lab.csv")
    head, *rows = list(csv.reader(path.read_text().splitlines()))
    with path.open("w", newline="") as file:
        longer = [[name, float(latency_ms) * (1 + number / 1000)] for name, latency_ms in rows]
        csv.writer(file).writerows([head, *longer])
    return ()


REPLACED = {
    "run and front": Replaced(
        "search",
        lambda number: ("--overwrite", "--seed", str(number)),
        lambda: read_search(Path("r")),
    ),
    "table": Replaced(
        "import-measurements", _slower, lambda: read_table(Path("latency_lut/iphone12/table.json"))
    ),
    "predictor": Replaced(
        "import-measurements",
        _slower,
        lambda: read_predictor(Path("predictors/iphone12/predictor.json")),
    ),
}
