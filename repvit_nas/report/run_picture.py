"""The picture of a run: accuracy against latency, on each device."""

import textwrap
from typing import TYPE_CHECKING, Any

from repvit_nas.report.family_rows import FamilyRow, family_input
from repvit_nas.report.pictures import png

if TYPE_CHECKING:
    from repvit_nas.searching.records import Result
    from repvit_nas.searching.run import Finding


def run_picture(finding: "Finding", families: dict[str, list[FamilyRow]]) -> bytes:
    """Draw accuracy against latency on each device: the front, the winners and the family."""
    from matplotlib.figure import Figure

    devices = list(finding.run.settings.budgets_ms)
    figure = Figure(figsize=(8, 5 * len(devices)), dpi=120, layout="constrained")
    for place, device in enumerate(devices, start=1):
        draw(figure.add_subplot(len(devices), 1, place), finding, device, families[device])
    return png(figure)


def draw(axes: Any, finding: "Finding", device: str, family: list[FamilyRow]) -> None:
    """Draw accuracy against latency on one device into matplotlib's axes."""
    result, budget = finding.result, finding.run.settings.budgets_ms[device]
    _draw_front(axes, result, device)
    _draw_family(axes, family, budget)
    if device not in finding.run.unbound:  # else it is far off the picture
        _draw_budget(axes, budget)
    axes.set_xlabel(f"latency on {device} in ms, {result.sources}")
    axes.set_ylabel(textwrap.fill(result.accuracy_meaning, 60))
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)


def _draw_front(axes: Any, result: "Result", device: str) -> None:
    latency = [entry.devices[device].latency_ms for entry in result.front]
    accuracy = [entry.accuracy for entry in result.front]
    if len(result.front[0].devices) == 1:
        low = [entry.accuracy - entry.accuracy_std for entry in result.front]
        high = [entry.accuracy + entry.accuracy_std for entry in result.front]
        axes.fill_between(
            latency, low, high, alpha=0.2, linewidth=0, label="± 1 standard deviation"
        )
        axes.plot(latency, accuracy, linewidth=1.2, label=f"front, {len(latency)} networks")
    else:  # a front of several devices is no curve on any of them
        axes.plot(
            latency, accuracy, ".", markersize=2, alpha=0.4, label=f"front, {len(latency)} networks"
        )
    chosen = result.winning
    on = [entry.devices[device] for entry in chosen]
    axes.errorbar(
        [each.latency_ms for each in on],
        [entry.accuracy for entry in chosen],
        xerr=[
            [each.latency_ms - each.low_ms for each in on],
            [each.high_ms - each.latency_ms for each in on],
        ],
        fmt="o",
        markersize=4,
        elinewidth=0.8,
        capsize=2,
        color="C0",
        label="winners, 90 % latency interval",
    )


def _draw_family(axes: Any, family: list[FamilyRow], budget: float) -> None:
    """Draw the family as far as it is near the budget."""
    near = [row for row in family if not row.reference.legacy and _shown_ms(row) <= 1.7 * budget]
    published = [row for row in near if None not in (row.published_top1, row.published_ms)]
    said = family_input(family)
    name = f"RepViT {said}" if said else "RepViT"
    if published:
        axes.plot(
            [row.published_ms for row in published],
            [row.published_top1 for row in published],
            "s",
            color="C3",
            markersize=6,
            label=f"{name}, published",
        )
    axes.plot(
        [row.latency.latency_ms for row in near],
        [row.accuracy for row in near],
        "x",
        color="C3",
        markersize=6,
        label=f"{name}, predicted",
    )
    for row in near:
        axes.annotate(
            row.reference.title.removeprefix("RepViT-"),
            (row.latency.latency_ms, row.accuracy),
            xytext=(5, -11),
            textcoords="offset points",
            color="C3",
            fontsize=8,
        )


def _shown_ms(row: FamilyRow) -> float:
    return row.latency.latency_ms if row.published_ms is None else row.published_ms


def _draw_budget(axes: Any, budget: float) -> None:
    axes.axvline(budget, color="0.4", linestyle="--", linewidth=1)
    axes.annotate(
        f"budget {budget:g} ms",
        (budget, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        color="0.3",
        fontsize=8,
    )
