"""The table and the picture of a device that is like another: its latencies, each left out in turn."""

from typing import Final

from repvit_nas.predictors.validation import LeaveOneOut, LeftOutCheck
from repvit_nas.report.pictures import png
from repvit_nas.report.tables import Grid
from repvit_nas.words import number_of

LEFT_OUT_HEADER: Final = (
    "network",
    "px",
    "tool",
    "ms given",
    "ms without it (90 %)",
    "error %",
)


def left_out_rows(found: LeaveOneOut) -> list[tuple[str, ...]]:
    """Return the cells of each row, under `LEFT_OUT_HEADER`."""
    return [_cells(check) for check in found.checks]


def _cells(check: LeftOutCheck) -> tuple[str, ...]:
    given = (check.name, str(check.resolution), check.tool, f"{check.given_ms:.4g}")
    if check.predicted_ms is None:
        return (*given, "", "")
    interval = f"{check.predicted_ms:.4g} ({check.low_ms:.4g}-{check.high_ms:.4g})"
    return (*given, interval, f"{100 * (check.predicted_ms / check.given_ms - 1):+.1f}")


def left_out_summary(found: LeaveOneOut) -> str:
    """Say in a few words how far off the fit is."""
    said = (
        f"{number_of(len(found.checks), 'latency')} take {found.times:g} times as long as on "
        f"{found.like}, whose predictor they shift and scale; single networks are taken to scatter by "
        f"{found.misfit_percent:.1f} % around that."
    )
    if found.error_percent is None:
        return f"{said} More networks than one would say how far off it is."
    return (
        f"{said} Each against a fit without its network: mean error {found.error_percent:.1f} %, "
        f"{found.coverage_percent:.0f} % inside the 90 % interval."
    )


def left_out_table(found: LeaveOneOut) -> Grid:
    """Return the table of all rows."""
    title = f"{found.device}: each network left out in turn"
    return Grid.of(title, LEFT_OUT_HEADER, left_out_rows(found), left=("tool",), drop={"tool": 1})


def leave_one_out_picture(found: LeaveOneOut) -> bytes:
    """Draw predictions by fits that never saw the network against what was given, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    low = 0.9 * min(check.given_ms for check in found.checks)
    high = 1.1 * max(check.given_ms for check in found.checks)
    axes.plot([low, high], [low, high], color="0.5", linewidth=1)
    for check in found.checks:
        if check.predicted_ms is None or check.low_ms is None or check.high_ms is None:
            axes.axvline(check.given_ms, color="0.5", linestyle=":")
            continue
        axes.errorbar(
            check.given_ms,
            check.predicted_ms,
            [[check.predicted_ms - check.low_ms], [check.high_ms - check.predicted_ms]],
            marker="s",
            color="black",
            capsize=2,
        )
    axes.set_xlim(low, high)
    axes.set_xlabel(f"given of {found.device}, ms")
    axes.set_ylabel("predicted by a fit without the network, ms (modelled)")
    axes.grid(alpha=0.25)
    return png(figure)
