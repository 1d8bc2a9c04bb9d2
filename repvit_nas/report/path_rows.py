"""The path from MobileNetV3-L to RepViT-M0.9, step by step: published and measured against predicted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from repvit_nas.latency_lut.table import NetworkRow
from repvit_nas.predictors.predictor import LatencyEstimate, Predictor
from repvit_nas.report.pictures import png
from repvit_nas.report.tables import Grid
from repvit_nas.search_space.path import PublishedStep, networks, path


class PathRow(msgspec.Struct, frozen=True):
    """One network of the path.

    Attributes:
        told: What was published of it, and what the paper leaves open.
        macs: Multiply-accumulates.
        params: Parameters of the fused network.
        published_ms: Its latency on the device as published, if it was.
        latency: Its predicted latency.
        measured: Its latency as it was timed on the device, if it was.
    """

    told: PublishedStep
    macs: int
    params: int
    published_ms: float | None
    latency: LatencyEstimate
    measured: NetworkRow | None = None

    @property
    def measured_ms(self) -> float | None:
        """Its measured latency; None if it was not timed."""
        return None if self.measured is None else self.measured.latency_ms

    @property
    def known_ms(self) -> float | None:
        """What the prediction is compared with: what was measured, else what was published."""
        return self.published_ms if self.measured is None else self.measured.latency_ms

    @property
    def latency_error(self) -> float | None:
        """The predicted latency against the known one, as a share; None if there is none."""
        return None if self.known_ms is None else self.latency.latency_ms / self.known_ms - 1


class PathRows(msgspec.Struct, frozen=True):
    """The networks of the path in their order, on one device."""

    rows: tuple[PathRow, ...]

    def before(self, row: PathRow) -> PathRow | None:
        """Return the network that one is a step from, if it is one."""
        return next((one for one in self.rows if one.told.step == row.told.after), None)

    def changes(self, row: PathRow) -> dict[str, float | None]:
        """Return by how much a step changes what is known and what is predicted; None if unknown."""
        before = self.before(row)

        def change(of: Callable[[PathRow], float | None]) -> float | None:
            return None if before is None else _less(of(row), of(before))

        return {
            "published_step_ms": change(lambda one: one.published_ms),
            "measured_step_ms": change(lambda one: one.measured_ms),
            "predicted_step_ms": change(lambda one: one.latency.latency_ms),
            "published_step_top1": change(lambda one: one.told.top1),
        }

    @property
    def is_measured(self) -> bool:
        """Whether the networks were timed."""
        return any(row.measured for row in self.rows)

    @property
    def known(self) -> str:
        """What predictions are compared with, in a word."""
        return "measured" if self.is_measured else "published"

    def documents(self) -> list[dict[str, Any]]:
        """Return the rows as plain values under the names that JSON and frames use."""
        return [
            {
                "step": row.told.step,
                "network": f"path:{row.told.step}",
                "title": row.told.title,
                "after": row.told.after,
                "published_ms": row.published_ms,
                "published_top1": row.told.top1,
                "measured_ms": row.measured_ms,
                "measured_low_ms": None if row.measured is None else row.measured.low_ms,
                "measured_high_ms": None if row.measured is None else row.measured.high_ms,
                **row.latency._asdict(),
                "latency_error": row.latency_error,
                **self.changes(row),
                "macs": row.macs,
                "params": row.params,
                "reference": row.told.reference,
                "open": list(row.told.open),
            }
            for row in self.rows
        ]

    def grid(self) -> Grid:
        """Return the table that is shown; on a device that was timed without columns of nothing."""
        device = self.rows[0].latency.device
        cells = [self._cells(row) for row in self.rows]
        left_out = set() if self.is_measured else {"ms measured (90 %)", "by the step, measured"}
        if self.is_measured and all(row.published_ms is None for row in self.rows):
            left_out = {"ms published", "by the step, published"}
        shown = [name for name in cells[0] if name not in left_out]
        drop = {"M params": 6, "M MACs": 5, "off": 1}
        return Grid.of(
            f"From MobileNetV3-L to RepViT-M0.9 on {device}",
            [name.partition(",")[0] for name in shown],
            [tuple(row[name] for name in shown) for row in cells],
            wraps=("what it changes",),
            drop=drop,
        )

    def _cells(self, row: PathRow) -> dict[str, str]:
        """Return the cells by the names of their columns; what is behind a comma tells them apart."""
        change = self.changes(row)
        return {
            "step": row.told.step,
            "what it changes": row.told.title,
            "ms published": _figure(row.published_ms, ".2f"),
            "by the step, published": _figure(change["published_step_ms"], "+.2f"),
            "ms measured (90 %)": "" if row.measured is None else _interval(row.measured),
            "by the step, measured": _figure(change["measured_step_ms"], "+.2f"),
            "ms predicted (90 %)": _interval(row.latency),
            "by the step, predicted": _figure(change["predicted_step_ms"], "+.2f"),
            "off": _figure(
                None if row.latency_error is None else 100 * row.latency_error, "+.1f", " %"
            ),
            "top-1 %": _figure(row.told.top1, ".1f"),
            "by the step, top-1": _figure(change["published_step_top1"], "+.1f"),
            "M MACs": f"{row.macs / 1e6:,.1f}",
            "M params": f"{row.params / 1e6:.2f}",
        }

    def lines(self) -> list[str]:
        """Say how far off the predictions are, and of what they are no promise."""
        said = [
            (
                "Top-1 is published: ImageNet-1k, 300 epochs without a teacher (arXiv:2307.09283v8); what "
                "the paper leaves open is listed by --json and in search_space/path.toml."
            )
        ]
        errors = [row.latency_error for row in self.rows if row.latency_error is not None]
        if errors:
            mean = 100 * sum(map(abs, errors)) / len(errors)
            pairs = [
                (change[f"{self.known}_step_ms"], change["predicted_step_ms"])
                for change in map(self.changes, self.rows)
            ]
            both = [(one, other) for one, other in pairs if one is not None and other is not None]
            right = sum(one * other > 0 for one, other in both)
            said.append(
                f"Off by {mean:.1f} % on average; {right} of {len(both)} steps go the {self.known} way. "
                f"{self._unseen()}"
            )
        return said

    def _unseen(self) -> str:
        """Say what no fit saw of all this."""
        if self.is_measured:
            return "The fit saw none of these timings; the intervals are calibrated on RepViT's networks."
        return (
            "No fit saw these networks but the last; the intervals are calibrated on RepViT's and "
            "RepNeXt's."
        )


def path_rows(
    predictor: Predictor,
    published: Mapping[str, float],
    measured: Sequence[NetworkRow] = (),
) -> PathRows:
    """Predict every network of the path on a device and put beside it what is known.

    Args:
        predictor: Of the device.
        published: Milliseconds published of the device, by name of network.
        measured: What was timed on the device.
    """
    timed = {row.architecture: row for row in measured}
    rows = []
    for step in path().values():
        network = networks()[step.step]
        rows.append(
            PathRow(
                told=step,
                macs=sum(unit.macs for unit in network.units),
                params=sum(unit.params for unit in network.units),
                published_ms=published.get(step.network),
                latency=predictor.estimate(network),
                measured=timed.get(network),
            )
        )
    return PathRows(tuple(rows))


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _interval(of: LatencyEstimate | NetworkRow) -> str:
    return f"{of.latency_ms:.2f} ({of.low_ms:.2f}-{of.high_ms:.2f})"


def _figure(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def draw_path(axes: Any, found: PathRows) -> None:
    """Draw latency against the step into matplotlib's axes, with the accuracy of each."""
    rows = found.rows
    places = range(len(rows))
    latency = [row.latency for row in rows]
    axes.errorbar(
        places,
        [each.latency_ms for each in latency],
        yerr=[
            [each.latency_ms - each.low_ms for each in latency],
            [each.high_ms - each.latency_ms for each in latency],
        ],
        fmt="x",
        capsize=3,
        color="C0",
        label=f"{' or '.join(sorted({each.source for each in latency}))}, 90 % interval",
    )
    on_path = [place for place, row in enumerate(rows) if row.told.after or row.told.step == "0"]
    _draw_published(axes, rows, on_path)
    _draw_measured(axes, rows)
    top = max(max(row.latency.high_ms, row.published_ms or 0, row.measured_ms or 0) for row in rows)
    for place, row in enumerate(rows):
        if row.told.top1 is not None:
            axes.annotate(
                f"{row.told.top1:.1f} %", (place, 1.04 * top), ha="center", fontsize=8, color="0.3"
            )
    axes.set_xticks(places, [f"path:{row.told.step}" for row in rows], rotation=45)
    axes.set_ylim(0, 1.12 * top)
    axes.set_ylabel(f"latency on {latency[0].device}, ms")
    axes.set_title(
        "above: published ImageNet-1k top-1 (2: not published; 3b: no step of the path)", fontsize=9
    )
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)


def _draw_published(axes: Any, rows: Sequence[PathRow], on_path: Sequence[int]) -> None:
    known = [place for place, row in enumerate(rows) if row.published_ms is not None]
    if not known:
        return
    line = [place for place in known if place in on_path]
    axes.plot(line, [rows[place].published_ms for place in line], color="C3", linewidth=0.8)
    axes.plot(
        known,
        [rows[place].published_ms for place in known],
        "s",
        color="C3",
        markersize=5,
        label="published",
    )


def _draw_measured(axes: Any, rows: Sequence[PathRow]) -> None:
    timed = [(place, row.measured) for place, row in enumerate(rows) if row.measured is not None]
    if not timed:
        return
    axes.errorbar(
        [place for place, _ in timed],
        [row.latency_ms for _, row in timed],
        yerr=[
            [row.latency_ms - row.low_ms for _, row in timed],
            [row.high_ms - row.latency_ms for _, row in timed],
        ],
        fmt="o",
        color="C2",
        markersize=5,
        label="measured, 90 % interval",
    )


def path_picture(found: PathRows) -> bytes:
    """Return the picture of :func:`draw_path` as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    draw_path(figure.subplots(), found)
    return png(figure)
