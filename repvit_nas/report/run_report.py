"""The tables and the page of a run."""

from typing import TYPE_CHECKING

from repvit_nas.accuracy.family import RESTS_ON, FamilyEstimator
from repvit_nas.architecture import shape_text
from repvit_nas.report import text
from repvit_nas.report.family_rows import FamilyRow, family_input, family_rows
from repvit_nas.searching.agreement import GAIN

if TYPE_CHECKING:
    from rich.table import Table

    from repvit_nas.searching.records import FrontEntry, Result, RunFile
    from repvit_nas.searching.run import Finding

FAMILY_HEADER = (
    "reference",
    "ms published",
    "ms predicted (90 % interval)",
    "top-1 % published",
    "top-1 % estimated",
)


def winner_header(result: "Result") -> list[str]:
    """Return the header of a table of winners: a column of milliseconds for each device."""
    devices = list(result.front[0].devices)
    latencies = (
        ["ms (90 % interval)"]
        if len(devices) == 1
        else [f"ms on {device} (90 % interval)" for device in devices]
    )
    return ["network", *latencies, "top-1 %", "M params", "GMACs", "shape"]


def winner_cells(entry: "FrontEntry") -> list[str]:
    """Return the cells of one network of a front."""
    return [
        entry.architecture.name,
        *(text.milliseconds(on.latency_ms, on.low_ms, on.high_ms) for on in entry.devices.values()),
        text.accuracy(entry.accuracy, entry.accuracy_std, entry.accuracy_source, entry.observed),
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


def run_tables(finding: "Finding") -> list["Table"]:
    """Return the tables of a run for a terminal: its winners, and the family on each device."""
    from rich.table import Table

    result = finding.result
    source = result.sources
    title = f"Within {_budgets(finding.run)} ({source})"
    winners = Table(*winner_header(result), title=title)
    for entry in result.winning:
        winners.add_row(*winner_cells(entry))
    tables = [winners]
    for device, family in families_of(finding).items():
        references = Table(
            *FAMILY_HEADER,
            title=f"The reference family on {device}{behind(family)} (predictions {source})",
        )
        for row in family:
            references.add_row(*family_cells(row))
        tables.append(references)
    return tables


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
        f"# RepViT variants within {_budgets(run)}\n",
        "Repeat this run with\n",
        f"    {run.command}\n",
        f"{len(result.front)} networks are on the front (`front.json`). These have a file in",
        "`winners/`, the best at each level of the budget first.\n",
        *(f"{line}\n" for line in (*unbound_budgets(run), *disputes(result))),
        f"Latencies are {source}, accuracies estimated: {result.accuracy_meaning}.",
        f"{RESTS_ON}.\n" if isinstance(finding.inputs.estimator, FamilyEstimator) else "",
        text.markdown_table(winner_header(result), [winner_cells(e) for e in result.winning]),
    ]
    for device, family in families.items():
        lines += [
            f"The reference family on {device}{behind(family)}, predictions {source}:\n",
            text.markdown_table(FAMILY_HEADER, [family_cells(row) for row in family]),
        ]
    return "\n".join([*lines, "![front](front.png)", ""])


def _budgets(run: "RunFile") -> str:
    return ", ".join(f"{ms:g} ms on {device}" for device, ms in run.settings.budgets_ms.items())


def behind(family: list[FamilyRow]) -> str:
    """Say behind the device's name of which input and output the family's figures are."""
    said = family_input(family)
    if not said:
        return ""
    silent = all(row.published_ms is None for row in family)
    return f" {said}{', of which nothing is published' if silent else ''}"
