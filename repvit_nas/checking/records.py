"""What checking leaves behind: the forms of a network, what was promised and found."""

import math
from typing import Final, Literal

import msgspec

from repvit_nas.export.records import ExportRecord
from repvit_nas.predictors.lookup import Source
from repvit_nas.quantities import Count, Duration, Milliseconds, Percent, Share, check_interval

CHECK_FILE: Final = "check.json"

Relation = Literal["", "dominated by the variant", "dominates the variant", "neither"]


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that was promised.

    Attributes:
        name: What it is about.
        kept: Whether it holds; None where that cannot be checked here.
        promised: What was promised.
        found: What was found.
    """

    name: str
    kept: bool | None
    promised: str
    found: str


class ComparedNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
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
        published_ms: Published for the resolution and the classes of the run; None where nothing is.
        published_top1: Published on ImageNet-1k, where the run is of its resolution and classes.
        relation: How its latency and accuracy on these images stand to the variant's.
        fewer_bits_ms: Modelled with weights of fewer bits, by the bits that the run was exported with.
    """

    name: str
    params: Count
    macs: Count
    latency_ms: Milliseconds
    low_ms: Duration
    high_ms: Milliseconds
    source: Source
    top1: Percent | None = None
    published_ms: Milliseconds | None = None
    published_top1: Percent | None = None
    relation: Relation = ""
    fewer_bits_ms: dict[str, Milliseconds] = {}

    def __post_init__(self) -> None:
        """Check that the interval is one."""
        check_interval(self.low_ms, self.latency_ms, self.high_ms, "latency_ms")


class MaskAgreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How alike the masks are that a decoder makes of a network's maps and of its teacher's.

    Attributes:
        decoder: The checkpoint whose decoder it is.
        points: Points asked for in each picture, one mask each.
        pictures: How many pictures.
        masks: How many masks were compared: those that are not empty by both.
        iou: Their mean intersection over union.
    """

    decoder: str
    points: Count
    pictures: Count
    masks: Count
    iou: Share


class CheckRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `check.json` (schema 1).

    Attributes:
        run: The run's folder.
        device: Whose latencies are predicted.
        val_images: On how many images accuracies are taken; 0 where they are not here.
        promises: What was promised, and whether it holds.
        variant: The run's network.
        family: The reference networks beside it.
        measured_ms: The variant's latency, measured on the device, where that is here.
        not_measured: Why it was not; empty if it was, or where an older version wrote it.
        off_engine: Whether not all of it ran on the Neural Engine, which its prediction is for.
        export: The forms of the network and the latency of unfused and fused on this machine.
        masks: How alike masks are to the teacher's, where a decoder was given.
    """

    schema: Literal[1] = 1
    run: str
    device: str
    val_images: Count
    promises: tuple[Promise, ...]
    variant: ComparedNetwork
    family: tuple[ComparedNetwork, ...]
    measured_ms: Milliseconds | None = None
    not_measured: str = ""
    off_engine: bool = False
    export: ExportRecord
    masks: MaskAgreement | None = None

    @property
    def kept(self) -> bool:
        """Whether no promise is broken, of those that can be checked here."""
        return not any(promise.kept is False for promise in self.promises)


def standard_error(found: CheckRecord) -> float:
    """Return the standard error of the variant's accuracy in percent: what chance alone makes."""
    right = (found.variant.top1 or 0.0) / 100
    return 100 * math.sqrt(right * (1 - right) / max(found.val_images, 1))


def relation(row: ComparedNetwork, top1: float | None, variant: ComparedNetwork) -> Relation:
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
