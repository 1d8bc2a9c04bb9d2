"""What the interactive page shows, as plain records: fronts, validations and trainings."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from repvit_nas.architecture import Stage
from repvit_nas.checking.records import CheckRecord
from repvit_nas.predictors.breakdown import Parts
from repvit_nas.predictors.validation import (
    CrossValidation,
    HeldOutComparison,
    LeaveOneOut,
    Validation,
)
from repvit_nas.report.checking import family_table
from repvit_nas.report.cross_validation import SUMMARY_HEADER, summary_cells
from repvit_nas.report.family_rows import FamilyRow
from repvit_nas.report.held_out import SCORE_HEADER, score_rows, summary
from repvit_nas.report.leave_one_out import LEFT_OUT_HEADER, left_out_rows, left_out_summary
from repvit_nas.report.run_report import budgets
from repvit_nas.search_space.peers import PEERS_DEVICE, Peer
from repvit_nas.searching.records import Result, RunFile
from repvit_nas.training.records import EpochRow, TrainFile


class PanelLatency(msgspec.Struct, frozen=True):
    """Milliseconds with their 90 % interval and where they come from."""

    ms: float
    low: float
    high: float
    source: str


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One network of a front.

    Attributes:
        name: What it is called.
        stages: Its stages.
        latency: By device.
        accuracy: Percent.
        std: Standard deviation of that.
        accuracy_source: Where it comes from.
        params: Parameters of the fused network.
        macs: Multiply-accumulates.
        load: What `repvit_nas.load` takes; None where the network has no file.
        best: Whether it is the run's best.
        costs: By device, the parts of the network with their milliseconds.
    """

    name: str
    stages: tuple[Stage, ...]
    latency: dict[str, PanelLatency]
    accuracy: float
    std: float
    accuracy_source: str
    params: int
    macs: int
    load: str | None
    best: bool
    costs: dict[str, Parts]


class FamilyPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A reference network on a device, published and predicted, milliseconds and percent."""

    name: str
    device: str
    published_ms: float | None
    published_top1: float | None
    source: str
    ms: float
    low: float
    high: float
    accuracy: float
    std: float


class PeerPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A network of another family, as published."""

    model: str
    device: str
    resolution: int
    latency_ms: float
    top1: float
    distilled: str
    reported_by: str
    source: str


class FrontPanel(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="front"):
    """One search."""

    name: str
    said: str
    accuracy_meaning: str
    resolution: int
    num_classes: int
    devices: tuple[str, ...]
    budgets: dict[str, float]
    networks: tuple[Point, ...]
    family: tuple[FamilyPoint, ...]
    peers: tuple[PeerPoint, ...]


class TableRows(msgspec.Struct, frozen=True):
    """A table of texts."""

    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


class ValidationPoint(msgspec.Struct, frozen=True):
    """One network, given and predicted by a fit that never saw it, in milliseconds."""

    name: str
    group: str
    measured: float
    predicted: float
    low: float
    high: float


class ValidationPanel(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="validation"
):
    """How far off a device's predictor is."""

    name: str
    said: str
    measured_word: Literal["measured", "published"]
    points: tuple[ValidationPoint, ...]
    table: TableRows


class TrainingPanel(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="training"):
    """One training run, epoch by epoch, and what a check found."""

    name: str
    said: str
    epochs: tuple[EpochRow, ...]
    table: TableRows


Panel = FrontPanel | ValidationPanel | TrainingPanel


def front_panel(
    name: str,
    result: Result,
    run: RunFile,
    *,
    costs: Mapping[str, Sequence[Parts]],
    family: Mapping[str, Sequence[FamilyRow]],
    peers: Sequence[Peer],
) -> FrontPanel:
    """Return what the page shows of a search.

    Args:
        name: The run's folder, as the user gave it.
        result: Its front; at least one network.
        run: How it was made.
        costs: By device, the parts of each network of the front.
        family: By device, the reference networks.
        peers: Published networks of other families, all of one phone.
    """
    first = result.front[0].architecture
    winners = set(result.winners)
    best = result.best.architecture.name if result.best is not None else ""
    devices = tuple(run.settings.budgets_ms)
    points = tuple(
        Point(
            name=entry.architecture.name,
            stages=entry.architecture.stages,
            latency={
                device: PanelLatency(one.latency_ms, one.low_ms, one.high_ms, one.source)
                for device, one in entry.devices.items()
            },
            accuracy=entry.accuracy,
            std=entry.accuracy_std,
            accuracy_source="estimated",
            params=entry.params,
            macs=entry.macs,
            load=f"{name}:{entry.architecture.name}"
            if entry.architecture.name in winners
            else None,
            best=entry.architecture.name == best,
            costs={device: parts[place] for device, parts in costs.items()},
        )
        for place, entry in enumerate(result.front)
    )
    return FrontPanel(
        name=name,
        said=f"{name}: within {budgets(run)}, {first.resolution} px. Repeat with: {run.command}",
        accuracy_meaning=result.accuracy_meaning,
        resolution=first.resolution,
        num_classes=first.num_classes,
        devices=devices,
        budgets=dict(run.settings.budgets_ms),
        networks=points,
        family=tuple(_family_point(device, row) for device, rows in family.items() for row in rows),
        peers=tuple(_peer_point(peer) for peer in peers if PEERS_DEVICE in devices),
    )


def _family_point(device: str, row: FamilyRow) -> FamilyPoint:
    return FamilyPoint(
        name=row.reference.title,
        device=device,
        published_ms=row.published_ms,
        published_top1=row.published_top1,
        source=row.published_source,
        ms=row.latency.latency_ms,
        low=row.latency.low_ms,
        high=row.latency.high_ms,
        accuracy=row.accuracy,
        std=row.accuracy_std,
    )


def _peer_point(peer: Peer) -> PeerPoint:
    return PeerPoint(
        model=peer.model,
        device=PEERS_DEVICE,
        resolution=peer.resolution,
        latency_ms=peer.latency_ms,
        top1=peer.top1,
        distilled=peer.distilled,
        reported_by=peer.reported_by,
        source=peer.source,
    )


def validation_panel(name: str, found: Validation) -> ValidationPanel:
    """Return what the page shows of a device's predictor, of whichever kind its validation is."""
    if isinstance(found, CrossValidation):
        return _cross_validation_panel(name, found)
    if isinstance(found, LeaveOneOut):
        return _leave_one_out_panel(name, found)
    return _held_out_panel(name, found)


def _cross_validation_panel(name: str, found: CrossValidation) -> ValidationPanel:
    """Show each published row by a fit without its network."""
    return ValidationPanel(
        name=name,
        said="Each published latency against a fit that never saw the network or a variant of it.",
        measured_word="published",
        points=tuple(
            ValidationPoint(
                f"{check.name}, {check.resolution} px, {check.source}",
                check.family,
                check.published_ms,
                check.without_network_ms,
                check.low_ms,
                check.high_ms,
            )
            for check in found.checks
        ),
        table=TableRows(
            ("group", "latencies", *SUMMARY_HEADER),
            tuple((group, *summary_cells(row)) for group, row in found.summaries.items()),
        ),
    )


def _leave_one_out_panel(name: str, found: LeaveOneOut) -> ValidationPanel:
    """Show each row that was brought by a fit without its network."""
    return ValidationPanel(
        name=name,
        said=left_out_summary(found),
        measured_word="measured",
        points=tuple(
            ValidationPoint(
                f"{check.name}, {check.resolution} px, {check.tool}",
                "networks brought",
                check.given_ms,
                check.predicted_ms,
                check.low_ms,
                check.high_ms,
            )
            for check in found.checks
            if check.predicted_ms is not None
            and check.low_ms is not None
            and check.high_ms is not None
        ),
        table=TableRows(LEFT_OUT_HEADER, tuple(left_out_rows(found))),
    )


def _held_out_panel(name: str, found: HeldOutComparison) -> ValidationPanel:
    """Show the networks that no fit saw."""
    return ValidationPanel(
        name=name,
        said=f"{found.title}. {summary(found)}",
        measured_word="measured",
        points=tuple(
            ValidationPoint(
                check.shape,
                "held-out networks",
                check.measured_ms,
                check.predicted_ms,
                check.low_ms,
                check.high_ms,
            )
            for check in found.checks
        ),
        table=TableRows(SCORE_HEADER, tuple(tuple(row) for row in score_rows(found))),
    )


def training_panel(
    name: str, record: TrainFile, epochs: Sequence[EpochRow], check: CheckRecord | None
) -> TrainingPanel:
    """Return what the page shows of a training run, and of its check where there was one."""
    outcome = record.outcome
    reached = (
        "not finished"
        if outcome is None
        else f"top-1 {outcome.top1:.2f} % of {outcome.val_images:,} images after epoch {outcome.epoch}"
    )
    header, rows = ((), []) if check is None else family_table(check)
    return TrainingPanel(
        name=name,
        said=f"{name}: {record.asked.data.name}, {reached}. Repeat with: {record.command}",
        epochs=tuple(epochs),
        table=TableRows(tuple(header), tuple(tuple(row) for row in rows)),
    )
