"""`repvit-nas family`: the reference networks, published against predicted."""

from typing import TYPE_CHECKING, Any

import click

from repvit_nas.commands.options import (
    console,
    debug_option,
    devices_option,
    echo_json,
    foreign_option,
    json_option,
    outside_option,
    say_predictor,
)

if TYPE_CHECKING:
    from repvit_nas.predictors.lookup import Outside
    from repvit_nas.report.family_rows import FamilyRow


@click.command("family")
@devices_option
@click.option(
    "--resolution", type=int, default=224, show_default=True, metavar="PX", help="Input side."
)
@foreign_option
@outside_option
@json_option
@debug_option
def command(
    devices: tuple[str, ...], resolution: int, *, foreign: bool, outside: "Outside", as_json: bool
) -> None:
    r"""Compare every reference network: published and predicted latency and accuracy.

    \b
    Example: repvit-nas family --device iphone12
    """
    from repvit_nas.accuracy.family import load_family_estimator
    from repvit_nas.report.family_rows import family_rows
    from repvit_nas.search_space.space import load_space
    from repvit_nas.searching.inputs import load_device_inputs

    load_space("repvit")[0].check_resolution(resolution)
    estimator = load_family_estimator()
    found = []
    for device in dict.fromkeys(devices):
        loaded = load_device_inputs(device, foreign=foreign, outside=outside)
        say_predictor(loaded.predictor, loaded.found)
        rows = family_rows(loaded.published, loaded.predictor, estimator, resolution=resolution)
        found.append((device, str(loaded.found), rows))
    if as_json:
        echo_json([_document(row) | {"predictor": copy} for _, copy, rows in found for row in rows])
        return
    for device, _, rows in found:
        _show(device, rows)


def _show(device: str, rows: "list[FamilyRow]") -> None:
    from rich.table import Table

    from repvit_nas.report.run_report import FAMILY_HEADER, behind, family_cells

    title = f"On {device}{behind(rows)}, {rows[0].latency.source}"
    table = Table(*FAMILY_HEADER, "ms error %", "top-1 error", title=title)
    for row in rows:
        table.add_row(*family_cells(row), _latency_error(row), _accuracy_error(row))
    console().print(table)


def _latency_error(row: "FamilyRow") -> str:
    if row.published_ms is None:
        return ""
    return f"{100 * (row.latency.latency_ms / row.published_ms - 1):+.1f}"


def _accuracy_error(row: "FamilyRow") -> str:
    return "" if row.published_top1 is None else f"{row.accuracy - row.published_top1:+.2f}"


def _document(row: "FamilyRow") -> dict[str, Any]:
    published = row.published_ms
    return {
        "network": row.reference.name,
        "title": row.reference.title,
        "resolution": row.resolution,
        "published_ms": published,
        "published_source": row.published_source,
        **row.latency._asdict(),
        "latency_error": None if published is None else row.latency.latency_ms / published - 1,
        "published_top1": row.published_top1,
        "accuracy": round(row.accuracy, 3),
        "accuracy_std": round(row.accuracy_std, 3),
        "accuracy_error": None
        if row.published_top1 is None
        else round(row.accuracy - row.published_top1, 3),
    }
