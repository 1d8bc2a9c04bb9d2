"""The tables and the page of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from repvit_nas.accuracy.family import RESTS_ON, FamilyEstimator
from repvit_nas.architecture import FEATURES, LOGITS, SAM, OutputKind, shape_text
from repvit_nas.report import text
from repvit_nas.report.family_rows import FamilyRow, family_input, family_rows
from repvit_nas.report.tables import Column, Grid, markdown
from repvit_nas.search_space.downstream import downstream
from repvit_nas.searching.agreement import GAIN
from repvit_nas.words import number_of, printable

if TYPE_CHECKING:
    from repvit_nas.searching.records import FrontEntry, Result, RunFile
    from repvit_nas.searching.run import Finding

# Which columns go first where a terminal has no room for all.
_DROP: Final = {"shape": 3, "M params": 2, "GMACs": 1}
PUBLISHED_ONLY: Final = "published, never measured here"
# Of nine published backbones AP box rises by 1.2 a point with a deviation of 0.99, of RepViT's three by
# 1.6 with at most 0.5.
STAND_IN: Final = (
    "Top-1 is that of the same stages as a classifier: a stand-in. Within the published family a point of "
    "it is worth about 1.5 AP box, with a deviation of 0.5 to 1."
)


def front_table(title: str, entries: "Sequence[FrontEntry]") -> Grid:
    """Return the table of networks of a front: a column of milliseconds for each device."""
    devices = list(entries[0].devices) if entries else []
    cells = {
        "top-1 %": [
            text.accuracy(entry.accuracy, entry.accuracy_std, entry.accuracy_source, entry.observed)
            for entry in entries
        ],
        "M params": [text.millions(entry.params) for entry in entries],
        "GMACs": [text.thousand_millions(entry.macs) for entry in entries],
        "shape": [shape_text(entry.architecture) for entry in entries],
    }
    columns = (
        Column("network", [entry.architecture.name for entry in entries]),
        *(_latencies(entries, device, alone=len(devices) == 1) for device in devices),
        *(
            Column(name, found, name != "shape", _DROP.get(name, 0))
            for name, found in cells.items()
        ),
    )
    return Grid(title, columns)


def _latencies(entries: "Sequence[FrontEntry]", device: str, *, alone: bool) -> Column:
    found = [entry.devices[device] for entry in entries]
    name = "ms" if alone else f"ms on {device}"
    return Column(
        f"{name} (90 % interval)",
        [text.milliseconds(each.latency_ms, each.low_ms, each.high_ms) for each in found],
        right=True,
        short=(name, [f"{each.latency_ms:.2f}" for each in found]),
    )


def family_table(title: str, rows: Sequence[FamilyRow], *, errors: bool = False) -> Grid:
    """Return the table of the reference networks: published and predicted, and how these differ."""
    cells = {
        "ms published": [
            "" if row.published_ms is None else f"{row.published_ms:.{row.published_decimals}f}"
            for row in rows
        ],
        "ms predicted (90 % interval)": [
            text.milliseconds(row.latency.latency_ms, row.latency.low_ms, row.latency.high_ms)
            for row in rows
        ],
        "top-1 % published": [
            "" if row.published_top1 is None else text.percent(row.published_top1) for row in rows
        ],
        "top-1 % estimated": [text.percent(row.accuracy, row.accuracy_std) for row in rows],
        **_downstream_cells(rows),
    }
    if errors:
        cells["ms error %"] = [_error(row.latency_error, 100, "+.1f") for row in rows]
        cells["top-1 error"] = [_error(row.accuracy_error, 1, "+.2f") for row in rows]
    names = Column("reference", [row.reference.title for row in rows])
    return Grid(title, (names, *(Column(name, found, right=True) for name, found in cells.items())))


def _downstream_cells(rows: Sequence[FamilyRow]) -> dict[str, list[str]]:
    """Return a column for each accuracy that was published of a network behind something else."""
    metrics = dict.fromkeys(name for row in rows for name in row.downstream if "ms on" not in name)
    return {
        f"{metric} published": [
            f"{row.downstream[metric].value:g}" if metric in row.downstream else "" for row in rows
        ]
        for metric in metrics
    }


def stand_in(output: OutputKind) -> list[str]:
    """Say what the top-1 of networks that hand back maps stands for, and what was published beside."""
    if output == LOGITS:
        return []
    if output == FEATURES:
        return [STAND_IN, f"AP and mIoU: {PUBLISHED_ONLY} ({_sources(output)})."]
    known = [row for row in downstream() if row.output == SAM]
    by_title = {row.title: [each for each in known if each.title == row.title] for row in known}
    beside = "; ".join(
        f"{title} {', '.join(f'{row.value:g} {row.metric}' for row in figures)}"
        for title, figures in by_title.items()
    )
    return [
        (
            "What a SAM encoder is good for is judged by ImageNet top-1 alone: one of this family was "
            "published."
        ),
        f"Beside it: {beside}. All of it {PUBLISHED_ONLY} ({_sources(SAM)}).",
    ]


def _sources(output: OutputKind) -> str:
    return "; ".join(dict.fromkeys(row.source for row in downstream() if row.output == output))


def _error(error: float | None, factor: float, shown: str) -> str:
    return "" if error is None else format(factor * error, shown)


def family_title(device: str, rows: Sequence[FamilyRow]) -> str:
    """Return the title of a device's reference family."""
    return f"The reference family on {device}{behind(rows)} (predictions {rows[0].latency.source})"


def families_of(finding: "Finding") -> dict[str, list[FamilyRow]]:
    """Return the reference family on each device, as large and with as many classes as the front."""
    searched = finding.result.front[0].architecture
    return {
        device.predictor.device: family_rows(
            device.published,
            device.predictor,
            finding.inputs.estimator,
            resolution=searched.resolution,
            num_classes=searched.num_classes,
            output=searched.output,
        )
        for device in finding.inputs.devices
    }


def unbound_budgets(run: "RunFile") -> list[str]:
    """Say of each budget that does not bind that it does not."""
    return [
        f"The budget of {run.settings.budgets_ms[device]:g} ms on {device} does not bind: nothing "
        f"on the front takes more than {most:.3g} ms, so the winners are spread over the front."
        for device, most in run.unbound.items()
    ]


def disputes(result: "Result") -> list[str]:
    """Say of each winner that others would have won instead that its rank is a matter of the model."""
    return [
        f"The rank of {name} depends on how the device is modelled: for {share:.0%} of the ensemble's "
        f"models a network of the front that is at least {GAIN:g} % more accurate is no slower."
        for name, share in result.disputed.items()
    ]


def front_size(result: "Result") -> str:
    """Say how many networks are on the front, and which part of it is shown."""
    if not result.whole:
        return f"{number_of(len(result.front), 'network')} on the front"
    share = "" if result.shown_share is None else f" ({result.shown_share:.1%} of the hypervolume)"
    return (
        f"{result.whole:,} networks on the front; `front.json` has {len(result.front):,} of them, "
        f"spread over it{share}, `front.npz` the choices of all"
    )


def stopped(run: "RunFile", result: "Result") -> list[str]:
    """Say of a search that was stopped what it may lack."""
    if run.complete:
        return []
    line = (
        f"Stopped after {number_of(result.trials, 'trial', grouped=True)} of "
        f"{run.settings.trials:,}; --resume goes on."
    )
    if result.late_gain is not None:
        line += (
            " Improvement was stopped, too: the second half of it found "
            f"{result.late_gain:.1%} of the hypervolume, and less than that is likely left."
        )
    return [line]


def winners_table(result: "Result", run: "RunFile") -> Grid:
    """Return the table of the networks of a run that have a file, the best first."""
    return front_table(f"Within {budgets(run)} ({result.sources})", result.winning)


def run_tables(finding: "Finding") -> list[Grid]:
    """Return the tables of a run: its winners, and the family on each device."""
    families = families_of(finding)
    return [
        winners_table(finding.result, finding.run),
        *(family_table(family_title(device, rows), rows) for device, rows in families.items()),
    ]


def run_parts(finding: "Finding", seconds: float, folder: Path | None) -> list[Grid | str]:
    """Return what is printed of a search that found networks: tables, doubts, and where they are.

    Args:
        finding: What was found.
        seconds: How long it took.
        folder: Where it is written.
    """
    result, run = finding.result, finding.run
    parts: list[Grid | str] = [
        *run_tables(finding),
        *stopped(run, result),
        *unbound_budgets(run),
        *disputes(result),
        f"Accuracy: {result.accuracy_meaning}, ± one standard deviation.",
        *stand_in(run.settings.output),
        (
            f"{front_size(result)}; "
            f"{number_of(result.trials, 'trial', grouped=True)}, "
            f"{result.evaluations:,} different, {seconds:.1f} s."
        ),
    ]
    if result.exact_share is not None and result.exact_optuna_share is not None:
        parts.append(
            f"Share of the exact hypervolume: {result.exact_share:.3%} "
            f"(Optuna alone {result.exact_optuna_share:.2%})."
        )
    elif result.optuna_share is not None:
        parts.append(
            f"Optuna alone reached {result.optuna_share:.1%} of the front's hypervolume; local "
            "improvement the rest."
        )
    loaded = f'    repvit_nas.load("{folder}:best")'
    return [*parts, f"Written to {folder}; load the best with", loaded]


def render(finding: "Finding") -> tuple[str, bytes]:
    """Return the page of a run in Markdown, and its picture as PNG."""
    from repvit_nas.report.run_picture import run_picture

    families = families_of(finding)
    return run_page(finding, families), run_picture(finding, families)


def run_page(finding: "Finding", families: dict[str, list[FamilyRow]]) -> str:
    """Return the page of a run: how to repeat it, its winners, and the family beside them."""
    result, run = finding.result, finding.run
    source = result.sources
    lines = [
        f"# RepViT variants within {budgets(run)}\n",
        "Repeat this run with\n",
        f"    {printable(run.command)}\n",
        _on_the_front(result),
        "`winners/`, the best at each level of the budget first.\n",
        *(
            f"{line}\n"
            for line in (*stopped(run, result), *unbound_budgets(run), *disputes(result))
        ),
        f"Latencies are {source}, accuracies estimated: {result.accuracy_meaning}.",
        f"{RESTS_ON}.\n" if isinstance(finding.inputs.estimator, FamilyEstimator) else "",
        *(f"{line}\n" for line in stand_in(run.settings.output)),
        markdown(winners_table(result, run)),
    ]
    for device, family in families.items():
        lines += [
            f"The reference family on {device}{behind(family)}, predictions {source}:\n",
            markdown(family_table(family_title(device, family), family)),
        ]
    return "\n".join([*lines, "![front](front.png)", ""])


def _on_the_front(result: "Result") -> str:
    if result.whole:
        return f"{front_size(result)}. These have a file in"
    return f"{len(result.front)} networks are on the front (`front.json`). These have a file in"


def budgets(run: "RunFile") -> str:
    """Say what the budget of a run is, on each device."""
    return ", ".join(f"{ms:g} ms on {device}" for device, ms in run.settings.budgets_ms.items())


def behind(family: Sequence[FamilyRow]) -> str:
    """Say behind the device's name of which input and output the family's figures are."""
    said = family_input(family)
    if not said:
        return ""
    silent = all(row.published_ms is None for row in family)
    return f" {said}{', of which nothing is published' if silent else ''}"
