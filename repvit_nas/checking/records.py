"""What checking leaves behind: the forms of a network, what was promised and found, and tables."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.predictors.measured import Source
from repvit_nas.report import text

EXPORT_FILE: Final = "export.json"
CHECK_FILE: Final = "check.json"

Relation = Literal["", "dominated by the variant", "dominates the variant", "neither"]


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One form of a network, read back from its file.

    Attributes:
        name: `fused`, `onnx` or `coreml`.
        file: Where it is in the run's folder.
        digest: Of its files.
        size_bytes: Of them.
        error: How far its answers are from the training form's.
        allowed: How far they may be.
        agreement: Percent of the images on which both choose the same class.
        images: How many images that is of.
        ran: What ran it: torch, onnxruntime, Core ML, or an interpreter of the ML program.
    """

    name: str
    file: str
    digest: str
    size_bytes: int
    error: float
    allowed: float
    agreement: float
    images: int
    ran: str


class ExportRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `export.json` (schema 1).

    Attributes:
        digest: Of the weights that were exported.
        forms: What was made of them.
        operations: How often each operation occurs in the Core ML program.
        unfused_ms: Latency of the training form for one image, by torch on one thread here.
        fused_ms: The same of the fused form.
    """

    schema: Literal[1] = 1
    digest: str
    forms: tuple[Form, ...]
    operations: dict[str, int] = msgspec.field(default_factory=dict)
    unfused_ms: float
    fused_ms: float


def read_export(folder: Path) -> ExportRecord | None:
    """Read what was exported of a run, if anything was."""
    path = folder / EXPORT_FILE
    return files.read_json(path, ExportRecord) if path.is_file() else None


def form_digest(path: Path) -> str:
    """Return the digest of a form's file, or of all files of its folder; empty if it is missing.

    Raises:
        FileError: It cannot be read.
    """
    if not path.exists():
        return ""
    inner = sorted(each for each in path.rglob("*") if each.is_file())
    try:
        return files.digest(*(each.read_bytes() for each in inner or [path]))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that was promised.

    Attributes:
        name: What it is about.
        kept: Whether it holds.
        promised: What was promised.
        found: What was found.
    """

    name: str
    kept: bool
    promised: str
    found: str


class NetworkRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network beside others.

    Attributes:
        name: What it is called.
        params: Parameters of the fused network.
        macs: Multiply-accumulates, at the resolution of the run.
        latency_ms: Predicted on the device, at that resolution.
        low_ms: Lower end of the 90 % interval.
        high_ms: Upper end of the 90 % interval.
        source: Where the prediction comes from.
        top1: Percent right on the run's validation images; None where it was not trained on them.
        published_ms: Published for 224 px and 1000 classes.
        published_top1: Published on ImageNet-1k.
        relation: How its latency and accuracy on these images stand to the variant's.
    """

    name: str
    params: int
    macs: int
    latency_ms: float
    low_ms: float
    high_ms: float
    source: Source
    top1: float | None = None
    published_ms: float | None = None
    published_top1: float | None = None
    relation: Relation = ""


class CheckRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `check.json` (schema 1).

    Attributes:
        run: The run's folder.
        device: Whose latencies are predicted.
        val_images: On how many images accuracies are taken.
        promises: What was promised, and whether it holds.
        variant: The run's network.
        family: The reference networks beside it.
        measured_ms: The variant's latency, measured on the device, where that is here.
        export: The forms of the network and the latency of unfused and fused on this machine.
    """

    schema: Literal[1] = 1
    run: str
    device: str
    val_images: int
    promises: tuple[Promise, ...]
    variant: NetworkRow
    family: tuple[NetworkRow, ...]
    measured_ms: float | None = None
    export: ExportRecord

    @property
    def kept(self) -> bool:
        """Whether every promise is kept."""
        return all(promise.kept for promise in self.promises)


def standard_error(found: CheckRecord) -> float:
    """Return the standard error of the variant's accuracy in percent: what chance alone makes."""
    right = (found.variant.top1 or 0.0) / 100
    return 100 * math.sqrt(right * (1 - right) / max(found.val_images, 1))


def relation(row: NetworkRow, top1: float | None, variant: NetworkRow) -> Relation:
    """Say whether one of two networks is at least as fast and as accurate as the other."""
    if top1 is None or variant.top1 is None:
        return ""
    theirs, ours = (row.latency_ms, -top1), (variant.latency_ms, -variant.top1)
    if theirs == ours:
        return "neither"
    if all(a <= b for a, b in zip(theirs, ours, strict=True)):
        return "dominates the variant"
    if all(a >= b for a, b in zip(theirs, ours, strict=True)):
        return "dominated by the variant"
    return "neither"


def first_cells(row: NetworkRow) -> Sequence[str]:
    """Return what every table says of a network: name, size, latency and accuracy here."""
    return (
        row.name,
        text.millions(row.params),
        f"{row.macs / 1e6:,.1f}",
        text.milliseconds(row.latency_ms, row.low_ms, row.high_ms),
        "" if row.top1 is None else f"{row.top1:.2f}",
    )


def table_rows(found: CheckRecord) -> list[Sequence[str]]:
    """Return the cells of the networks beside each other."""

    def cells(row: NetworkRow) -> Sequence[str]:
        return (
            *first_cells(row),
            "" if row.published_ms is None else f"{row.published_ms:g}",
            "" if row.published_top1 is None else f"{row.published_top1:.1f}",
            row.relation,
        )

    return [cells(found.variant), *(cells(row) for row in found.family)]


TABLE_HEADER: Final = (
    "network",
    "M params",
    "M MACs",
    "ms predicted",
    "top-1 % here",
    "ms published",
    "top-1 % published",
    "relation",
)
