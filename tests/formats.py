"""Every format that is read: a small file of it, and what reads it.

`tests/field/test_formats.py` holds that no function of the package reads a file without standing here, and
mutates each. A new reader is added to `FORMATS`, or to `NO_FORMAT` with the reason why not.
"""

import functools
import gzip
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import service_reports
from support import ROOT

from repvit_nas import files
from repvit_nas.accuracy.importing import read_rows
from repvit_nas.accuracy.observations import AccuracyObservation, ObservationLog
from repvit_nas.accuracy.offcurve import read_trained
from repvit_nas.accuracy.responses import read_losses
from repvit_nas.accuracy.trained import PosteriorFile
from repvit_nas.architecture import read_architecture
from repvit_nas.campaign.records import CampaignFile, RunsFile, read_campaign, task_log
from repvit_nas.campaign.trial import PLAN, TASK, facts_of_result, read_try
from repvit_nas.checking.records import CheckRecord
from repvit_nas.coreml.exporting import Converted, Manifest
from repvit_nas.coreml.importers import generic, melange, xctest
from repvit_nas.coreml.importers.runlocal import read_result
from repvit_nas.coreml.importers.xcode import read_report
from repvit_nas.coreml.products import Product
from repvit_nas.export.records import read_export
from repvit_nas.latency_lut.device import read_device
from repvit_nas.latency_lut.own import read_own
from repvit_nas.latency_lut.placement import read_placements
from repvit_nas.latency_lut.plan import Plan
from repvit_nas.latency_lut.published import read_networks, read_observations, read_path
from repvit_nas.latency_lut.series import Sources
from repvit_nas.latency_lut.table import read_table
from repvit_nas.latency_lut.visits import VisitLog
from repvit_nas.lines import LineLog
from repvit_nas.networks import read_network
from repvit_nas.own_latencies import read_latencies
from repvit_nas.predictors.assumptions import Assumptions
from repvit_nas.predictors.predictor import read_predictor
from repvit_nas.predictors.validation import read_validation
from repvit_nas.search_space.downstream import Downstream
from repvit_nas.search_space.family import FamilyFile, PublishedAccuracy
from repvit_nas.search_space.path import PathFile, path_network
from repvit_nas.search_space.peers import Peer
from repvit_nas.search_space.space import Space
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.searching.checkpoint import Checkpoint
from repvit_nas.searching.records import Result, read_run
from repvit_nas.searching.whole import unpack_whole, whole_bytes
from repvit_nas.training.checkpoint import Checkpoints, read_tensors
from repvit_nas.training.recipe import Recipe
from repvit_nas.training.records import EpochRow, read_training

SHIPPED_RUN = ROOT / "results" / "iphone12-1.0ms"
TRAINED = ROOT / "results" / "shapes-30ms" / "seed-0"
EPYC = ROOT / "latency_lut" / "cpu-epyc"


class Format(NamedTuple):
    """One format.

    Attributes:
        file: What its file is called.
        content: A small valid one.
        read: Reads the file in a folder, and returns what it holds.
        readers: The functions of the package that read such a file.
        beside: What else has to lie in the folder.
    """

    file: str
    content: Callable[[], bytes]
    read: Callable[[Path], Any]
    readers: tuple[str, ...]
    beside: Callable[[], Mapping[str, bytes]] = dict


def shipped(path: Path, **lengths: int) -> Callable[[], bytes]:
    """Return what gives a shipped JSON file, with lists cut short."""

    def content() -> bytes:
        document = json.loads(path.read_text())
        for field, length in lengths.items():
            document[field] = document[field][:length]
        return json.dumps(document).encode()

    return content


def lines(path: Path, number: int) -> Callable[[], bytes]:
    """Return what gives the first lines of a shipped file."""
    return lambda: b"".join(path.read_bytes().splitlines(keepends=True)[:number])


def table() -> bytes:
    """Return a table of three rows of each kind."""
    document = json.loads((EPYC / "table.json").read_text())
    by_kind: dict[str, list[Any]] = {}
    for row in document["rows"]:
        by_kind.setdefault(row["type"], []).append(row)
    document["rows"] = [row for rows in by_kind.values() for row in rows[:3]]
    return json.dumps(document).encode()


def measured_predictor(members: int = 3, units: int = 4) -> tuple[bytes, bytes]:
    """Return the shipped measured predictor, cut down to a few members and units, and its arrays."""
    folder = ROOT / "predictors" / "cpu-epyc"
    document = json.loads((folder / "predictor.json").read_text())
    with np.load(folder / "residual.npz") as packed:
        arrays = {name: packed[name] for name in packed.files}
    document["members"] = document["members"][:members]
    document["measured"]["units"] = document["measured"]["units"][:units]
    for name in ("update", "amplitudes", "looked_up"):
        arrays[name] = arrays[name][:, :members]
    for name in ("inputs", "update", "looked_up"):
        arrays[name] = arrays[name][:units]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    document["measured"]["arrays_digest"] = files.digest(buffer.getvalue())
    return json.dumps(document).encode(), buffer.getvalue()


def evidence() -> bytes:
    """Return the head of the table of trainings, packed."""
    rows = gzip.decompress((ROOT / "search_space" / "accuracy_evidence.csv.gz").read_bytes())
    header, *rest = rows.splitlines(keepends=True)
    kept = [row for row in rest if b"accel" in row.lower() or b"mnasnet" in row.lower()][:5]
    return gzip.compress(b"".join([header, *kept]), mtime=0)


def tensors() -> bytes:
    """Return a file of weights."""
    import torch
    from safetensors.torch import save

    return save({"stem.weight": torch.arange(6.0).reshape(2, 3), "stem.bias": torch.ones(2)})


def trainer_state() -> bytes:
    """Return the state of a trainer, as a checkpoint keeps it."""
    import torch

    buffer = io.BytesIO()
    torch.save({"updates": 2, "optimizer": {"state": {0: torch.ones(2)}}, "rows": []}, buffer)
    return buffer.getvalue()


def checkpoint_files(**changed: bytes) -> dict[str, bytes]:
    """Return the files of a checkpoint under a run."""
    pointer = {"schema": 1, "name": "update-00000002", "updates": 2}
    folder = "checkpoints/update-00000002"
    return {
        "checkpoints/last.json": json.dumps(pointer).encode(),
        f"{folder}/model.safetensors": tensors(),
        f"{folder}/trainer.pt": trainer_state(),
    } | changed


def read_checkpoint(folder: Path) -> Any:
    """Read the last checkpoint of a run."""
    loaded = Checkpoints(folder).load(lambda _: None)
    return None if loaded is None else loaded.trainer


def whole_front() -> bytes:
    """Return the choices of some networks of the shipped run's space."""
    return whole_bytes(run_space().sample(np.random.default_rng(0), 30))


@functools.cache
def run_space() -> Space:
    """Return the space of the shipped run."""
    return Space(files.read_json(SHIPPED_RUN / "space.json", SpaceFile))


@functools.cache
def run_front() -> Result:
    """Return the front of the shipped run."""
    return files.read_json(SHIPPED_RUN / "front.json", Result)


def read_whole_front(folder: Path) -> Any:
    """Read a whole front; an attacker writes the front beside it, too."""
    content = (folder / "front.npz").read_bytes()
    beside = msgspec.structs.replace(run_front(), whole=30, whole_digest=files.digest(content))
    return unpack_whole("front.npz", content, beside, run_space())


def study() -> bytes:
    """Return the log of a study of two trials."""
    trial = {"choices": [0, 1], "values": [0.9, -78.5], "constraints": [-0.1], "notes": {"g": 1}}
    return b"".join(
        json.dumps(line).encode() + b"\n" for line in ({"schema": 1, "digest": "d"}, [trial])
    )


CONVERTED = {
    "name": "chain_0",
    "tools": "9 2",
    "digest": "0" * 16,
    "size_bytes": 1000,
    "operations": {"conv": 3},
    "rms": 0.0005,
}
MANIFEST = {
    "schema": 1,
    "device": "iphone13",
    "product_type": "iPhone14,5",
    "target": "iOS16",
    "coremltools": "9.0",
    "torch": "2.7",
    "programs": [
        {k: v for k, v in CONVERTED.items() if k != "tools"}
        | {"key": "1" * 16, "role": "chain", "macs": 1000}
    ],
}
PLACEMENT = {"key": "1" * 16, "preferred": {"neuralEngine": 3, "cpu": 1}, "elsewhere": ["conv_1"]}
SOURCES = {
    "schema": 1,
    "sources": [
        {"series": "a", "units": 4, "networks": 2, "shared": 1, "factor": 1.02, "factor_sd": 0.01}
    ],
    "aside": [{"series": "b", "why": "cold"}],
}
REPORT = {
    "modelMetadata": {"fileName": "chain_0.mlpackage"},
    "deviceResults": {"predict": {"samples": [0.001, 0.0011]}},
    "deviceInfo": {"modelName": "iPhone 13"},
    "computeUnit": 2,
}
LAB = [{"program": "chain_0", "samples_ms": [0.5, 0.6], "model": "iPhone 13", "tool": "lab"}]


ARCHITECTURE = json.loads((TRAINED / "architecture.json").read_text())
CIRCUMSTANCES = {"data": "digits", "recipe": "quick"}
ACCURACY = {
    "architecture": ARCHITECTURE,
    "circumstances": CIRCUMSTANCES,
    "epochs": 6,
    "top1": 80.0,
    "top1_sd": 0.5,
    "images": 1000,
    "origin": "imported",
    "source": "a table",
}
POSTERIOR = {
    "schema": 1,
    "name": "mine",
    "circumstances": CIRCUMSTANCES,
    "short": True,
    "resolution": 64,
    "num_classes": 10,
    "observations": 4,
    "networks": 4,
    "digest": "0" * 16,
    "exponent": 0.3,
    "usual": -1.0,
    "misfit": 0.4,
    "noise": 0.2,
    "features": ["a", "b"],
    "mean": [70.0, -1.0],
    "covariance": [[1.0, 0.1], [0.1, 1.0]],
}
TASKS = [
    {
        "type": "task",
        "name": "a",
        "architecture": ARCHITECTURE,
        "seed": 1,
        "role": "donor",
        "inherits": False,
    },
    {"type": "failure", "name": "b", "reason": "too large"},
    {"type": "finished", "name": "a", "seconds": 3.5},
]


def losses() -> bytes:
    """Return the cross-entropy of some images."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([0.5, 1.5, 2.5]))
    return buffer.getvalue()


def campaign() -> bytes:
    """Return what a campaign was asked."""
    asked = json.loads((TRAINED / "training.json").read_text())["asked"]
    document = {
        "schema": 1,
        "name": "mine",
        "command": "repvit-nas measure-accuracy mine",
        "asked": {
            "data": asked["data"],
            "recipe": asked["recipe"],
            "recipe_name": "quick",
            "space": "repvit",
            "budgets_ms": {"iphone12": 1.0},
        },
        "data_digest": "0" * 16,
        "recipe_digest": "0" * 16,
        "classes": ["a", "b"],
        "resolution": 64,
        "val_images": 100,
        "donor": ARCHITECTURE,
        "references": [ARCHITECTURE],
        "held_out": [ARCHITECTURE],
        "trainings": "t",
    }
    return json.dumps(document).encode()


def runs() -> bytes:
    """Return what a campaign of trainings was asked."""
    asked = json.loads((TRAINED / "training.json").read_text())["asked"]
    known = json.loads(campaign())
    same = ("schema", "data_digest", "recipe_digest", "classes", "resolution", "val_images")
    document = {key: known[key] for key in same} | {
        "name": "mine",
        "command": "repvit-nas train",
        "asked": {"data": asked["data"], "recipe": asked["recipe"], "recipe_name": "quick"},
        "tasks": [TASKS[0] | {"role": "run"}],
        "trainings": "t",
    }
    return json.dumps(document).encode()


def trial() -> bytes:
    """Return the attributes of a finished trial of a campaign's study."""
    from repvit_nas.campaign.training import Result

    task = TASKS[0] | {"name": "a-seed-1"}
    said = ACCURACY | {"seed": 1, "source": "a-seed-1", "losses": "losses/a-seed-1.npy"}
    said |= {"images": 3, "origin": "trained here"}
    said |= {"circumstances": {"data": "shapes", "recipe": "quick"}}
    result = Result(msgspec.convert(said, AccuracyObservation), losses(), 2.5)
    facts = {TASK: task, "worker": "somebody", "progress": {"count": 3, "doing": "training"}}
    return json.dumps(facts | facts_of_result(result)).encode()


def read_trial(folder: Path) -> Any:
    """Read the attributes of a trial that was set to its end, as a storage hands them out."""
    asked = msgspec.convert(json.loads(campaign()), CampaignFile)
    asked = msgspec.structs.replace(asked, val_images=3, data_digest="", recipe_digest="")
    attrs = files.read_json(folder / "trial.json", dict[str, Any], schema=None)
    return read_try("a trial", number=0, trial_id=0, state="done", attrs=attrs, file=asked)


def written(document: Any) -> Callable[[], bytes]:
    """Return what gives a document as JSON."""
    return lambda: json.dumps(document).encode()


def json_file(name: str, kind: Any) -> Callable[[Path], Any]:
    """Return what reads a JSON file of a record."""
    return lambda folder: files.read_json(folder / name, kind)


def line_file(name: str, kind: Any) -> Callable[[Path], Any]:
    """Return what reads a log of lines."""
    return lambda folder: LineLog(folder / name, kind, "line").read()


def priced(folder: Path) -> list[float]:
    """Read a predictor and price a network with it: what it says must be milliseconds."""
    from repvit_nas.search_space.family import reference

    predictor = read_predictor(folder / "predictor.json")
    architecture = reference("repvit_m0_9").architecture
    estimate = predictor.estimate(architecture)
    if not 0 <= estimate.low_ms <= estimate.latency_ms <= estimate.high_ms < float("inf"):
        raise AssertionError(f"a latency of {estimate}")
    return list(estimate[:3])


FORMATS: dict[str, Format] = {
    "architecture": Format(
        "architecture.json",
        (TRAINED / "architecture.json").read_bytes,
        lambda folder: read_architecture(folder / "architecture.json"),
        ("architecture.read_architecture",),
    ),
    "search space": Format(
        "space.toml",
        (ROOT / "search_space" / "repvit.toml").read_bytes,
        lambda folder: files.read_toml(folder / "space.toml", SpaceFile),
        ("search_space.space.load_space", "search_space.space._is_space"),
    ),
    "space of a run": Format(
        "space.json",
        (SHIPPED_RUN / "space.json").read_bytes,
        json_file("space.json", SpaceFile),
        ("searching.records.read_winners_space",),
    ),
    "family": Format(
        "family.toml",
        (ROOT / "search_space" / "family.toml").read_bytes,
        lambda folder: files.read_toml(folder / "family.toml", FamilyFile),
        ("search_space.family.family",),
    ),
    "published accuracies": Format(
        "published_accuracy.csv",
        lines(ROOT / "search_space" / "published_accuracy.csv", 5),
        lambda folder: files.read_csv(folder / "published_accuracy.csv", PublishedAccuracy),
        ("search_space.family.published_accuracies", "files.read_csv"),
    ),
    "peers": Format(
        "peers.csv",
        lines(ROOT / "search_space" / "peers.csv", 5),
        lambda folder: files.read_csv(folder / "peers.csv", Peer),
        ("search_space.peers.peers",),
    ),
    "downstream": Format(
        "downstream.csv",
        lines(ROOT / "search_space" / "downstream.csv", 5),
        lambda folder: files.read_csv(folder / "downstream.csv", Downstream),
        ("search_space.downstream.downstream",),
    ),
    "trainings elsewhere": Format(
        "evidence.csv.gz",
        evidence,
        lambda folder: read_trained(folder / "evidence.csv.gz"),
        ("accuracy.offcurve.read_trained",),
    ),
    "device": Format(
        "device.json",
        (EPYC / "device.json").read_bytes,
        lambda folder: read_device(folder / "device.json", "cpu-epyc"),
        (
            "latency_lut.device.read_device",
            "latency_lut.series.series_name",
            "coreml.session.planned_otherwise",
        ),
    ),
    "table": Format(
        "table.json",
        table,
        lambda folder: read_table(folder / "table.json", "cpu-epyc"),
        ("latency_lut.table.read_table",),
    ),
    "plan": Format(
        "plan.json",
        shipped(EPYC / "plan.json", units=4, held_out=2, calibration=2),
        json_file("plan.json", Plan),
        (
            "measuring.session.Session.plan",
            "latency_lut.series.other_option",
            "latency_lut.series.read_series",
            "coreml.exporting.read_plan",
            "coreml.exporting._claim",
        ),
    ),
    "visits": Format(
        "visits.jsonl",
        lines(EPYC / "visits.jsonl", 3),
        lambda folder: VisitLog(folder).read(),
        ("latency_lut.visits.VisitLog.__init__", "lines.LineLog._content"),
    ),
    "visits of former versions": Format(
        "observations.jsonl",
        lambda: lines(EPYC / "visits.jsonl", 3)().replace(b'"samples"', b'"series"'),
        lambda folder: VisitLog(folder).read(),
        ("latency_lut.visits.VisitLog.__init__",),
    ),
    "placements": Format(
        "placements.jsonl",
        lambda: json.dumps(PLACEMENT).encode() + b"\n",
        lambda folder: read_placements(folder / "placements.jsonl"),
        ("latency_lut.placement.placement_log",),
    ),
    "sources": Format(
        "sources.json",
        written(SOURCES),
        json_file("sources.json", Sources),
        ("coreml.publishing.moved_away", "coreml.publishing.take_back"),
    ),
    "published latencies": Format(
        "published.csv",
        lines(ROOT / "latency_lut" / "iphone12" / "published.csv", 6),
        lambda folder: read_observations(folder / "published.csv"),
        ("latency_lut.published.read_published",),
    ),
    "networks of other families": Format(
        "networks.jsonl",
        lines(ROOT / "latency_lut" / "networks.jsonl", 2),
        lambda folder: read_networks(folder / "networks.jsonl"),
        ("latency_lut.published.read_networks",),
    ),
    "Core ML devices": Format(
        "products.csv",
        (ROOT / "latency_lut" / "products.csv").read_bytes,
        lambda folder: files.read_csv(folder / "products.csv", Product),
        ("coreml.products.products",),
    ),
    "predictor": Format(
        "predictor.json",
        shipped(ROOT / "predictors" / "iphone12" / "predictor.json", members=3),
        priced,
        ("predictors.predictor_file.read_predictor_file",),
    ),
    "measured predictor": Format(
        "predictor.json",
        lambda: measured_predictor()[0],
        priced,
        ("predictors.predictor_file.read_predictor_file",),
        beside=lambda: {"residual.npz": measured_predictor()[1]},
    ),
    "arrays of a predictor": Format(
        "residual.npz",
        lambda: measured_predictor()[1],
        priced,
        (
            "predictors.predictor._with_arrays",
            "predictors.lookup.read_arrays",
        ),
        beside=lambda: {"predictor.json": measured_predictor()[0]},
    ),
    "cross-validation": Format(
        "validation.json",
        shipped(ROOT / "predictors" / "iphone12" / "validation.json", checks=3),
        lambda folder: read_validation(folder / "validation.json", "iphone12"),
        ("predictors.validation.read_validation",),
    ),
    "held-out comparison": Format(
        "validation.json",
        shipped(
            ROOT / "predictors" / "cpu-epyc" / "validation.json", checks=2, unit_checks=2, curve=2
        ),
        lambda folder: read_validation(folder / "validation.json", "cpu-epyc"),
        ("predictors.validation.read_validation",),
    ),
    "assumptions": Format(
        "assumptions.json",
        (ROOT / "predictors" / "iphone12" / "assumptions.json").read_bytes,
        json_file("assumptions.json", Assumptions),
        ("predictors.fit_device.read_known", "predictors.fit_device._taken_for_granted"),
    ),
    "run": Format(
        "run.json",
        (SHIPPED_RUN / "run.json").read_bytes,
        read_run,
        ("searching.records.read_run",),
    ),
    "front": Format(
        "front.json",
        shipped(SHIPPED_RUN / "front.json", front=3, winners=0),
        json_file("front.json", Result),
        (
            "searching.records.winner_path",
            "searching.records._read_finished",
        ),
    ),
    "whole front": Format(
        "front.npz",
        whole_front,
        read_whole_front,
        ("searching.whole.unpack_whole", "searching.records._read_finished"),
    ),
    "study": Format(
        "study.journal",
        study,
        lambda folder: Checkpoint(folder / "study.journal", "d").read(),
        ("searching.checkpoint.Checkpoint.__init__", "searching.folder.RunFolder.abandon"),
    ),
    "recipe": Format(
        "recipe.toml",
        (ROOT / "repvit_nas" / "training" / "recipes" / "quick.toml").read_bytes,
        lambda folder: files.read_toml(folder / "recipe.toml", Recipe),
        ("training.recipe.load_recipe",),
    ),
    "training": Format(
        "training.json",
        (TRAINED / "training.json").read_bytes,
        read_training,
        ("training.records.read_training",),
    ),
    "log of a training": Format(
        "log.csv",
        (TRAINED / "log.csv").read_bytes,
        lambda folder: files.read_csv(folder / "log.csv", EpochRow),
        ("commands.report._training",),
    ),
    "pointer to a checkpoint": Format(
        "checkpoints/last.json",
        lambda: checkpoint_files()["checkpoints/last.json"],
        read_checkpoint,
        ("training.checkpoint.Checkpoints.last",),
        beside=checkpoint_files,
    ),
    "state of a checkpoint": Format(
        "checkpoints/update-00000002/trainer.pt",
        trainer_state,
        read_checkpoint,
        ("training.checkpoint.Checkpoints._read",),
        beside=checkpoint_files,
    ),
    "weights": Format(
        "model.safetensors",
        tensors,
        lambda folder: {
            name: list(value.shape)
            for name, value in read_tensors(folder / "model.safetensors").items()
        },
        ("training.checkpoint.read_tensors",),
    ),
    "export": Format(
        "export.json",
        (TRAINED / "export.json").read_bytes,
        read_export,
        ("export.records.read_export",),
    ),
    "check": Format(
        "check.json",
        (TRAINED / "check.json").read_bytes,
        json_file("check.json", CheckRecord),
        ("commands.report._training",),
    ),
    "manifest of an export": Format(
        "manifest.json",
        written(MANIFEST),
        json_file("manifest.json", Manifest),
        ("coreml.exporting.read_manifest",),
    ),
    "converted packages": Format(
        "converted.jsonl",
        lambda: json.dumps(CONVERTED).encode() + b"\n",
        line_file("converted.jsonl", Converted),
        ("coreml.exporting.convert",),
    ),
    "Xcode's report": Format(
        "report.json",
        written(REPORT),
        lambda folder: read_report(folder / "report.json"),
        ("coreml.importers.xcode.read_report",),
    ),
    "a device lab's JSON": Format(
        "lab.json",
        written(LAB),
        lambda folder: generic.read_json(folder / "lab.json"),
        ("coreml.importers.generic.read_json",),
    ),
    "a device lab's CSV": Format(
        "lab.csv",
        lambda: b"program,latency_ms,model\nchain_0,0.5,iPhone 13\nchain_1,0.6,iPhone 13\n",
        lambda folder: generic.read_csv(folder / "lab.csv"),
        ("coreml.importers.generic.read_csv",),
    ),
}

FORMATS |= {
    "RunLocal's result": Format(
        "a.runlocal.json",
        lambda: json.dumps(service_reports.runlocal()).encode(),
        lambda folder: read_result(folder / "a.runlocal.json"),
        ("coreml.importers.runlocal.read_result",),
    ),
    "Melange's report": Format(
        "a.melange.json",
        lambda: json.dumps(service_reports.melange()).encode(),
        lambda folder: melange.read_report(folder / "a.melange.json", "iPhone 12".__eq__),
        ("coreml.importers.melange.read_report",),
    ),
    "XCTest's metrics": Format(
        "a.xcmetrics.json",
        lambda: json.dumps(service_reports.metrics()).encode(),
        lambda folder: xctest.read_printed(folder / "a.xcmetrics.json"),
        ("coreml.importers.xctest.read_printed",),
        beside=lambda: {"a.xcsummary.json": json.dumps(service_reports.summary()).encode()},
    ),
    "XCTest's summary": Format(
        "a.xcsummary.json",
        lambda: json.dumps(service_reports.summary()).encode(),
        lambda folder: xctest.read_printed(folder / "a.xcmetrics.json"),
        (),
        beside=lambda: {"a.xcmetrics.json": json.dumps(service_reports.metrics()).encode()},
    ),
    "own latencies": Format(
        "latencies.json",
        written(
            {
                "schema": 1,
                "rows": [
                    {"architecture": ARCHITECTURE, "latency_ms": 1.0, "error_ms": 0.1, "tool": "t"}
                ],
            }
        ),
        lambda folder: read_own(folder / "latencies.json"),
        ("latency_lut.own.read_own",),
    ),
    "latencies that a user brings": Format(
        "own.csv",
        lambda: b"architecture,latency_ms,tool,error_ms\nrepvit_m0_9,1.0,stopwatch,0.1\n",
        lambda folder: read_latencies(folder / "own.csv"),
        ("own_latencies.read_latencies", "own_latencies._architecture"),
    ),
    "path of a device": Format(
        "path.csv",
        lines(ROOT / "latency_lut" / "iphone12" / "published.csv", 4),
        lambda folder: read_path(folder / "path.csv"),
        ("latency_lut.published.read_path",),
    ),
    "network told by its units": Format(
        "listed.json",
        lambda: files.encode_lines(path_network("1"), "units"),
        lambda folder: read_network(folder / "listed.json"),
        ("networks.read_network", "networks.network_from"),
    ),
    "path to RepViT": Format(
        "path.toml",
        (ROOT / "search_space" / "path.toml").read_bytes,
        lambda folder: files.read_toml(folder / "path.toml", PathFile),
        ("search_space.path._file",),
    ),
    "accuracies": Format(
        "observations.jsonl",
        lambda: json.dumps(ACCURACY).encode() + b"\n",
        lambda folder: ObservationLog(folder).read(),
        ("accuracy.observations.ObservationLog.__init__",),
    ),
    "accuracies that a user brings": Format(
        "accuracies.csv",
        lambda: b"network,top1,images,epochs\nrepvit_m0_9,78.5,50000,300\n",
        lambda folder: read_rows(folder / "accuracies.csv"),
        ("accuracy.importing.read_rows",),
    ),
    "losses of images": Format(
        "losses.npy",
        losses,
        lambda folder: read_losses(folder / "losses.npy"),
        ("accuracy.responses.read_losses", "accuracy.responses.losses_in"),
    ),
    "posterior": Format(
        "posterior.json",
        written(POSTERIOR),
        json_file("posterior.json", PosteriorFile),
        ("accuracy.trained.read",),
    ),
    "tasks of a campaign": Format(
        "tasks.jsonl",
        lambda: b"".join(json.dumps(task).encode() + b"\n" for task in TASKS),
        lambda folder: task_log(folder).read(),
        ("campaign.records.task_log",),
    ),
    "campaign": Format(
        "campaign.json",
        campaign,
        read_campaign,
        ("campaign.records.read_campaign", "campaign.study.CampaignStudy._load"),
    ),
    "campaign of trainings": Format(
        "runs.json",
        runs,
        json_file("runs.json", RunsFile),
        ("campaign.study.CampaignStudy._load",),
    ),
    "trial of a campaign": Format(
        "trial.json",
        trial,
        read_trial,
        ("campaign.trial.read_try.read",),
    ),
    "choice of a campaign": Format(
        "trial.json",
        lambda: json.dumps(
            {
                TASK: {"type": "plan", "number": 1},
                PLAN: {"tasks": TASKS[:1], "reason": "", "networks": 4},
            }
        ).encode(),
        read_trial,
        ("campaign.trial.read_try.read",),
    ),
}

# Functions that read bytes, and why no format of theirs stands above.
NO_FORMAT: dict[str, str] = {
    "files.unpacked": "what the readers of arrays go through",
    "files._decode": "what all readers of JSON and TOML go through",
    "folders._holder": "a word in another run's message; anything unprintable is passed over",
    "latency_lut.device.Device.digest": "digests bytes",
    "export.records.form_digest": "digests bytes",
    "training.records.file_digest": "digests bytes",
    "latency_lut.device.copy_shipped": "copies bytes of the package",
    "own_latencies.with_latencies": "copies the files of a device that was read",
    "own_latencies.added": "copies the files of a device that was read",
    "predictors.fit_device._origin": "`assumptions` above, of another device",
    "campaign.artifacts._own": "`training` above, of an artifact store: tests/campaign/test_artifacts.py",
    "campaign.training.result_of": "copies what losses_in has read",
    "training.torchrun._heard": "of a pipe: what is no line of ours is passed over",
    "training.torchrun._one_of_several": "an argument that the worker wrote a moment before",
    "machine.processor": "the system's own",
    "machine._megahertz": "the system's own",
    "machine._read": "the system's own",
    "report.page._asset": "of the package",
    "report.page._plotly": "of plotly's package",
    "coreml.building.build": "of Apple's source, whose digest is checked",
    "coreml.building._built": "of Apple's source, whose digest is checked",
    "coreml.doctor._app": "looks for a line of Apple's source",
    "coreml.client.ModelRunner._answer": "an answer of the phone: tests/coreml/test_client.py",
    "coreml.importers.xctest._decoded": "an answer of Apple's tool, as XCTest's metrics above",
    "coreml.xcrun.devicectl": "an answer of Apple's tool: tests/coreml/test_xcrun.py",
    "coreml.mac._LoadedHere.__init__": "Core ML loads what was written a moment before",
    "export.maps._by_core_ml": "Core ML loads what was written a moment before",
    "export.classifier._by_core_ml": "Core ML loads what was written a moment before",
    "conversion.onnx._scripted": "what torch wrote a moment before",
    "conversion.mil.read_package": "what was written a moment before, or a kept package whose digest is checked",
    "api.search._settings": "arguments of a function, no file",
    "training.images.read_image": "pictures: tests/training/test_pictures.py",
    "training.images.judge": "pictures: tests/training/test_pictures.py",
}
