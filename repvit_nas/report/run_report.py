"""The table and the picture of a run."""

import io
from typing import TYPE_CHECKING, Any

from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.architecture import shape_text
from repvit_nas.latency_lut.device import load_device
from repvit_nas.predictors.lookup import SOURCES
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.report import text
from repvit_nas.report.family_rows import FamilyRow, family_rows

if TYPE_CHECKING:
    from repvit_nas.predictors.lookup import Outside
    from repvit_nas.search.records import FrontEntry, Result, RunFile

WINNER_HEADER = ("network", "ms (90 % interval)", "top-1 %", "M params", "GMACs", "shape")
FAMILY_HEADER = (
    "reference",
    "ms published",
    "ms predicted (90 % interval)",
    "top-1 % published",
    "top-1 % estimated",
)


def winner_cells(entry: "FrontEntry") -> list[str]:
    """Return the cells of one network of a front."""
    return [
        entry.architecture.name,
        text.milliseconds(entry.latency_ms, entry.low_ms, entry.high_ms),
        text.percent(entry.accuracy, entry.accuracy_std),
        text.millions(entry.params),
        text.thousand_millions(entry.macs),
        shape_text(entry.architecture),
    ]


def family_cells(row: FamilyRow) -> list[str]:
    """Return the cells of one reference network."""
    return [
        row.reference.title,
        "" if row.published_ms is None else f"{row.published_ms:.{row.published_decimals}f}",
        text.milliseconds(row.latency.latency_ms, row.latency.low_ms, row.latency.high_ms),
        "" if row.published_top1 is None else text.percent(row.published_top1),
        text.percent(row.accuracy, row.accuracy_std),
    ]


def winners_of(result: "Result") -> list["FrontEntry"]:
    """Return the entries of a front that have an architecture file, best first."""
    by_name = {entry.architecture.name: entry for entry in result.front}
    return [by_name[name] for name in result.winners]


def sources_of(result: "Result") -> str:
    """Say where the latencies of a front come from."""
    found = {latency.source for entry in result.front for latency in entry.devices.values()}
    return " and ".join(source for source in SOURCES if source in found)


def reference_rows(
    device: str, *, foreign: bool = True, outside: "Outside" = "flag"
) -> list[FamilyRow]:
    """Return the reference family on a device; beside a search, whose user has accepted it."""
    predictor, _ = load_predictor(device, foreign=foreign, outside=outside)
    return family_rows(load_device(device), predictor, load_family_estimator())


def render(result: "Result", run: "RunFile") -> tuple[str, bytes]:
    """Return the table of a run in Markdown, and its picture as PNG."""
    device = next(iter(run.settings.budgets_ms))
    family = reference_rows(device)
    return run_table(result, run, family), front_picture(result, run, family)


def run_table(result: "Result", run: "RunFile", family: list[FamilyRow]) -> str:
    """Return the page of a run: how to repeat it, its winners, and the family beside them."""
    budgets = ", ".join(f"{ms:g} ms on {device}" for device, ms in run.settings.budgets_ms.items())
    source = sources_of(result)
    device = next(iter(run.settings.budgets_ms))
    winners = [winner_cells(entry) for entry in winners_of(result)]
    references = [family_cells(row) for row in family]
    return "\n".join(
        [
            f"# RepViT variants within {budgets}\n",
            "Repeat this run with\n",
            f"    {run.command}\n",
            f"{len(result.front)} networks are on the front (`front.json`). These have a file in",
            "`winners/`, the best at each level of the budget first.\n",
            f"Latencies are {source}, accuracies estimated: {result.accuracy_meaning}.\n",
            text.markdown_table(WINNER_HEADER, winners),
            f"The reference family on {device}, predictions {source}:\n",
            text.markdown_table(FAMILY_HEADER, references),
            "![front](front.png)",
            "",
        ]
    )


def front_picture(result: "Result", run: "RunFile", family: list[FamilyRow]) -> bytes:
    """Draw accuracy against latency: the front with its deviation, the winners and the family."""
    from matplotlib.figure import Figure

    device, budget = next(iter(run.settings.budgets_ms.items()))
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    _draw_front(axes, result)
    _draw_family(axes, family, budget)
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
    axes.set_xlabel(f"latency on {device} in ms, {sources_of(result)}")
    axes.set_ylabel(result.accuracy_meaning)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)
    buffer = io.BytesIO()
    # Without the version of the drawing library, the same run gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_front(axes: Any, result: "Result") -> None:
    latency = [entry.latency_ms for entry in result.front]
    accuracy = [entry.accuracy for entry in result.front]
    low = [entry.accuracy - entry.accuracy_std for entry in result.front]
    high = [entry.accuracy + entry.accuracy_std for entry in result.front]
    axes.fill_between(latency, low, high, alpha=0.2, linewidth=0, label="± 1 standard deviation")
    axes.plot(latency, accuracy, linewidth=1.2, label=f"front, {len(latency)} networks")
    chosen = winners_of(result)
    axes.errorbar(
        [entry.latency_ms for entry in chosen],
        [entry.accuracy for entry in chosen],
        xerr=[
            [entry.latency_ms - entry.low_ms for entry in chosen],
            [entry.high_ms - entry.latency_ms for entry in chosen],
        ],
        fmt="o",
        markersize=4,
        elinewidth=0.8,
        capsize=2,
        color="C0",
        label="winners, 90 % latency interval",
    )


def _draw_family(axes: Any, family: list[FamilyRow], budget: float) -> None:
    shown = [row for row in family if row.published_ms is not None and not row.reference.legacy]
    shown = [row for row in shown if row.published_ms and row.published_ms <= 1.7 * budget]
    measured = [row for row in shown if row.published_top1 is not None]
    axes.plot(
        [row.published_ms for row in measured],
        [row.published_top1 for row in measured],
        "s",
        color="C3",
        markersize=6,
        label="RepViT, published",
    )
    axes.plot(
        [row.latency.latency_ms for row in shown],
        [row.accuracy for row in shown],
        "x",
        color="C3",
        markersize=6,
        label="RepViT, predicted",
    )
    for row in shown:
        axes.annotate(
            row.reference.title.removeprefix("RepViT-"),
            (row.latency.latency_ms, row.accuracy),
            xytext=(5, -11),
            textcoords="offset points",
            color="C3",
            fontsize=8,
        )
