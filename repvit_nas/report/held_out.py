"""The tables and the pictures of a measured device: predicted against what was held out."""

from typing import Any, Final

import numpy as np

from repvit_nas.architecture import LOGITS
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.predictors.validation import HeldOutComparison
from repvit_nas.report.pictures import draw_bands, png
from repvit_nas.report.tables import Grid
from repvit_nas.units import Block, block

SCORE_HEADER: Final = (
    "predictor",
    "RMSPE %",
    "mean error %",
    "bias %",
    "within 5 %",
    "within 10 %",
    "Kendall tau",
    "Spearman rho",
)
CURVE_HEADER: Final = ("units timed", "RMSPE %")
_KINDS: Final = ("stem", "block", "block with SE", "downsample", "ffn", "head")


def score_rows(found: HeldOutComparison) -> list[list[str]]:
    """Return the cells of predictor and baselines."""
    return [
        [
            name,
            f"{score.rmspe:.2f}",
            f"{score.mape:.2f}",
            f"{score.bias:+.2f}",
            f"{score.within_5:.0f} %",
            f"{score.within_10:.0f} %",
            f"{score.kendall_tau:.3f}",
            f"{score.spearman_rho:.3f}",
        ]
        for name, score in found.scores.items()
    ]


def curve_rows(found: HeldOutComparison) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the learning curve."""
    bases = list(found.curve[0].transferred) if found.curve else []
    header = [*CURVE_HEADER, *(f"starting from {name}" for name in bases)]
    cells = [
        [
            str(point.units),
            f"{point.rmspe:.2f}",
            *(f"{point.transferred[name]:.2f}" for name in bases),
        ]
        for point in found.curve
    ]
    return header, cells


def summary(found: HeldOutComparison) -> str:
    """Return what the table does not say, in one sentence or two."""
    floor = "not known" if found.noise_floor is None else f"{found.noise_floor:.2f} %"
    networks = len(found.checks)
    what = "" if found.output == LOGITS else f" with output {found.output}"
    return (
        f"{networks} random networks{what} that no fit saw; {found.units} units and "
        f"{found.calibration} other networks were fitted, {found.minutes:.1f} minutes of "
        f"timing. Noise floor (what the networks' own figures are off by): {floor} RMSPE. "
        f"{found.coverage:.0f} % of the networks lie inside their 90 % interval, "
        f"{found.coverage_with_noise:.0f} % if that noise is allowed for."
    )


def score_table(found: HeldOutComparison) -> Grid:
    """Return the scores of predictor and baselines."""
    title = f"{found.device}: predicted against measured"
    return Grid.of(title, SCORE_HEADER, score_rows(found))


def curve_table(found: HeldOutComparison) -> Grid:
    """Return the learning curve."""
    return Grid.of("How many units does a new device need?", *curve_rows(found))


def held_out_picture(found: HeldOutComparison, predictor: Predictor) -> bytes:
    """Draw predicted against measured, the learning curve, unit costs and residuals, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 10), dpi=100, layout="constrained")
    axes = figure.subplots(2, 2)
    _draw_networks(axes[0, 0], found)
    _draw_curve(axes[0, 1], found)
    _draw_units(axes[1, 0], found, predictor)
    _draw_residuals(axes[1, 1], found)
    figure.suptitle(f"{found.device}: {found.title}", fontsize=11)
    return png(figure)


def _draw_networks(axes: Any, found: HeldOutComparison) -> None:
    checks = found.checks
    measured = np.array([check.measured_ms for check in checks])
    predicted = np.array([check.predicted_ms for check in checks])
    low, high = 0.9 * measured.min(), 1.1 * measured.max()
    draw_bands(axes, low, high)
    axes.errorbar(
        measured,
        predicted,
        yerr=[
            predicted - np.array([check.low_ms for check in checks]),
            np.array([check.high_ms for check in checks]) - predicted,
        ],
        fmt="o",
        markersize=4,
        elinewidth=0.7,
        label="held-out network, 90 % interval",
    )
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set_xlabel("measured, ms")
    axes.set_ylabel("predicted, ms")
    axes.set_title(f"{len(checks)} networks that no fit saw")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.25)


def _draw_curve(axes: Any, found: HeldOutComparison) -> None:
    units = [point.units for point in found.curve]
    axes.plot(units, [point.rmspe for point in found.curve], "o-", label="physical model")
    for name in found.curve[0].transferred if found.curve else ():
        errors = [point.transferred[name] for point in found.curve]
        axes.plot(units, errors, "s--", markersize=4, label=f"starting from {name}")
    if found.noise_floor is not None:
        axes.axhline(found.noise_floor, color="0.4", linestyle=":", label="noise floor")
    axes.set_xscale("log")
    axes.set_xticks(units, [str(number) for number in units])
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("units timed")
    axes.set_ylabel("RMSPE on held-out networks, %")
    axes.set_title("learning curve")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.25)


def _draw_units(axes: Any, found: HeldOutComparison, predictor: Predictor) -> None:
    """Draw blocks by stage: what was timed, and the predictor's line at expansion 2 without SE."""
    timed = [(c.unit, c.latency_ms) for c in found.unit_checks if isinstance(c.unit, Block)]
    for stage, size in enumerate(sorted({unit.size for unit, _ in timed}, reverse=True)):
        here = [(unit, ms) for unit, ms in timed if unit.size == size]
        widths = [unit.width for unit, _ in here]
        steps = list(range(min(widths), max(widths) + 1, 8))
        line = [block(width, 2.0, 3, size, se=False) for width in steps]
        costs = predictor.unit_costs(line)
        color = f"C{stage}"
        axes.plot(steps, costs.mean(axis=1), color=color, linewidth=1.2, label=f"{size} px")
        axes.fill_between(
            steps,
            np.quantile(costs, 0.05, axis=1),
            np.quantile(costs, 0.95, axis=1),
            color=color,
            alpha=0.2,
            linewidth=0,
        )
        for gated, marker in ((False, "o"), (True, "x")):
            axes.plot(
                [unit.width for unit, _ in here if (unit.se > 0) == gated],
                [ms for unit, ms in here if (unit.se > 0) == gated],
                marker,
                color=color,
                markersize=3,
                alpha=0.6,
            )
    axes.set(xscale="log", yscale="log")
    for axis, ticks in (
        (axes.xaxis, (16, 32, 64, 128, 256, 512)),
        (axes.yaxis, (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)),
    ):
        low, high = axis.get_view_interval()
        kept = [tick for tick in ticks if low <= tick <= high]
        axis.set_ticks(kept, [f"{tick:g}" for tick in kept])
        axis.set_ticks([], minor=True)
    axes.set_xlabel("width, channels")
    axes.set_ylabel("cost of a block, ms")
    axes.set_title("blocks (x with SE; all expansions); line: expansion 2, no SE")
    axes.legend(fontsize=8, title="stage")
    axes.grid(alpha=0.25, which="both")


def _draw_residuals(axes: Any, found: HeldOutComparison) -> None:
    groups: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    for check in found.unit_checks:
        kind = type(check.unit).__name__.lower()
        gated = isinstance(check.unit, Block) and check.unit.se > 0
        groups["block with SE" if gated else kind].append(check.left_out_percent)
    shown = {kind.replace(" ", "\n", 1): values for kind, values in groups.items() if values}
    axes.boxplot(list(shown.values()), tick_labels=[f"{k}\n({len(v)})" for k, v in shown.items()])
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_ylabel("predicted without it less measured, %")
    axes.set_title("single units left out of the fit")
    axes.grid(alpha=0.25, axis="y")
