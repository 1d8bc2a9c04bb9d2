"""The commands that write: how each is called, what it writes to, and what it works on."""

import csv
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from exported import WISHES, entries
from support import ROOT

from repvit_nas import files
from repvit_nas.coreml.exporting import device_plan, planned
from repvit_nas.coreml.naming import program_name
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space.space import load_space
from repvit_nas.searching.records import Result

TRAINED = ROOT / "results" / "shapes-30ms" / "seed-0"
SHIPPED_RUN = ROOT / "results" / "iphone12-1.0ms"


def lay_run() -> None:
    """Leave a run as it is published, with a file where its weights were."""
    shutil.copytree(TRAINED, "run")
    Path("run/model.safetensors").touch()


@functools.cache
def _trained() -> Path:
    from training_support import train_small

    return train_small(Path(tempfile.mkdtemp(prefix="repvit-nas-tests-")) / "run")


def lay_trained() -> None:
    """Leave a run that was trained here, on few images."""
    shutil.copytree(_trained(), "run")


def lay_two_runs() -> None:
    for name in ("one", "two"):
        shutil.copytree(SHIPPED_RUN, name)


def lay_phone() -> None:
    shutil.copytree(ROOT / "latency_lut" / "iphone12", "latency_lut/iphone12")


def lay_reports(times: float = 1.0) -> None:
    """Leave a device, and an export that was timed: each program takes so many times what is predicted."""
    lay_phone()
    plan = device_plan(load_space("repvit")[0], WISHES, at_once=True)
    predictor, _ = load_predictor("iphone12")
    Path("reports").mkdir()
    Path("reports/plan.json").write_bytes(msgspec.json.encode(plan))
    Path("reports/manifest.json").write_bytes(msgspec.json.encode(entries(plan)))
    with Path("reports/lab.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["program", "latency_ms"])
        for item in planned(plan).values():
            predicted_ms = float(predictor.totals(dict(item.units)).mean())
            lines.writerow([program_name(item), times * predicted_ms])


def lay_latencies() -> None:
    lay_phone()
    Path("own.csv").write_text("architecture,latency_ms,tool\nrepvit_m0_9,1.0,stopwatch\n")


def lay_accuracies() -> None:
    Path("own.csv").write_text("network,top1\nrepvit_m0_9,78.5\nrepvit_m1_0,79.5\n")


class Writer(NamedTuple):
    """A command that writes.

    Attributes:
        words: Its command line.
        folder: The folder that it keeps for itself.
        links: What a hostile folder holds as a link that leads out.
        lay: Makes what it works on.
        waits: Whether it waits for another writer instead of refusing.
    """

    words: str
    folder: str
    links: tuple[str, ...]
    lay: Callable[[], None] = lambda: None
    waits: bool = False


WRITERS = {
    "search": Writer(
        "search --out results/r --budget-ms 1 --trials 4",
        "results/r",
        ("results/r/.new", "results/r/winners", "results/r/front.npz"),
    ),
    "merge": Writer(
        "merge one two --out results/r",
        "results/r",
        ("results/r/.new", "results/r/winners"),
        lay_two_runs,
    ),
    "train": Writer(
        "train repvit_m0_6 --data digits --epochs 1 --out results/r",
        "results/r",
        ("results/r/checkpoints", "results/r/tensorboard"),
    ),
    "measure-lut": Writer(
        "measure-lut --device cpu9 --units 8 --networks 2 --calibration 3",
        "latency_lut/cpu9",
        ("latency_lut/cpu9/series", "latency_lut/cpu9/visits.jsonl"),
    ),
    "measure-lut --export": Writer(
        "measure-lut --device iphone12 --export programs --units 8 --networks 2 --calibration 3",
        "programs",
        ("programs/programs", "programs/plan.json"),
    ),
    "import-measurements": Writer(
        "import-measurements reports --device iphone12",
        "latency_lut/iphone12",
        ("latency_lut/iphone12/series/x", "latency_lut/iphone12/.x"),
        lay_reports,
    ),
    "import-latencies": Writer(
        "import-latencies own.csv --device iphone12",
        "latency_lut/iphone12",
        ("latency_lut/iphone12/series", "latency_lut/iphone12/x.json"),
        lay_latencies,
    ),
    "import-accuracy": Writer(
        "import-accuracy own.csv --name mine",
        "predictors/accuracy/mine",
        ("predictors/accuracy/mine/observations.jsonl", "predictors/accuracy/mine/losses"),
        lay_accuracies,
        waits=True,
    ),
    "measure-accuracy": Writer(
        "measure-accuracy --data digits --budget-ms 1 --name mine --networks 2 --anyway",
        "predictors/accuracy/mine",
        (
            "predictors/accuracy/mine/tasks.jsonl",
            "predictors/accuracy/mine/losses",
            "results/accuracy-mine/repvit_m0_9",
        ),
        waits=True,
    ),
    "measure-accuracy --finals": Writer(
        "measure-accuracy --data digits --finals one --epochs 1",
        f"one/finals/{files.read_json(SHIPPED_RUN / 'front.json', Result).winners[0]}-seed-0",
        ("one/finals",),
        lay_two_runs,
    ),
    "export": Writer(
        "export repvit_m0_6 --format onnx --out results/r",
        "results/r",
        ("results/r/untrained.onnx", "results/r/x"),
    ),
    "export of a run": Writer(
        "export run --format onnx", "run", ("run/model.onnx", "run/x"), lay_trained
    ),
    "check": Writer("check run", "run", ("run/x", "run/family"), lay_run),
    "fit": Writer(
        "fit --device iphone13",
        "predictors/iphone13",
        ("predictors/iphone13/series", "predictors/iphone13/.x"),
    ),
}
# What writes one file, beside it first and then in its place, and what writes nothing.
ONE_FILE = {"report", "path"}
NOTHING = {
    *("predict", "show", "compare", "family", "devices", "doctor", "measure", "validate", "status"),
}
# What writes trainings and no more, each as `train` does; its campaign is in a storage.
TRAINS = {"work"}
