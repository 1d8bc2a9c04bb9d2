"""The table and the picture of a cross-validation: predicted against published."""

from typing import Final

from repvit_nas.predictors.validation import TARGET_FAMILY, CrossValidation, Probe, Summary
from repvit_nas.report.pictures import draw_bands, png
from repvit_nas.report.tables import Grid

SUMMARY_HEADER: Final = (
    "in sample",
    "network left out",
    "family left out",
    "RepViT and RepNeXt left out",
    "in 90 % interval",
)
PROBE_HEADER: Final = ("never seen by the fit", "latencies", "error", "in 90 % interval", "steps")


def summary_cells(summary: Summary) -> list[str]:
    """Return the cells of a group of latencies: how many, and percentages under `SUMMARY_HEADER`."""
    return [
        str(summary.networks),
        f"{summary.in_sample_percent:.1f}",
        f"{summary.without_network_percent:.1f}",
        f"{summary.without_family_percent:.1f}",
        f"{summary.without_lookalikes_percent:.1f}",
        f"{summary.coverage_percent:.0f}",
    ]


def probe_cells(probe: Probe) -> list[str]:
    """Return the cells of a probe under `PROBE_HEADER`, percentages without their sign."""
    steps = probe.steps()
    right = sum(published * predicted > 0 for published, predicted in steps)
    return [
        probe.title,
        str(len(probe.checks)),
        f"{probe.error_percent:.1f}",
        f"{probe.coverage_percent:.0f}",
        f"{right} of {len(steps)} in the right direction" if steps else "",
    ]


def cross_validation_tables(validation: CrossValidation) -> list[Grid]:
    """Return the tables of all groups, and of the probes."""
    title = f"{validation.device}: mean error in %"
    header = ("group", "latencies", *SUMMARY_HEADER)
    found = [
        Grid.of(of, header, [[group, *summary_cells(each)] for group, each in summaries.items()])
        for summaries, of in (
            (validation.summaries, title),
            (
                validation.rates_free,
                f"{title}, with nothing taken for granted of the engine's rates",
            ),
        )
        if summaries
    ]
    if validation.probes:
        cells = [probe_cells(probe) for probe in validation.probes]
        found.append(Grid.of(title, PROBE_HEADER, cells, wraps=PROBE_HEADER[-1:]))
    return found


def cross_validation_picture(validation: CrossValidation) -> bytes:
    """Draw predictions by fits that never saw the network's family, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    low = 0.9 * min(check.published_ms for check in validation.checks)
    high = 1.1 * max(check.published_ms for check in validation.checks)
    draw_bands(axes, low, high)
    for family in sorted({check.family for check in validation.checks}):
        checks = [check for check in validation.checks if check.family == family]
        target = family == TARGET_FAMILY
        axes.plot(
            [check.published_ms for check in checks],
            [check.without_family_ms for check in checks],
            "s" if target else "o",
            markersize=7 if target else 4,
            color="black" if target else None,
            label=family,
        )
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axes.set_xlabel(f"published on {validation.device}, ms")
    axes.set_ylabel("predicted by a fit without the network's family, ms (modelled)")
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.legend(fontsize=8, ncols=2)
    axes.grid(alpha=0.25)
    return png(figure)
