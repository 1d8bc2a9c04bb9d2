"""`repvit-nas check`: is a trained network what was promised?"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from repvit_nas.commands.options import (
    console,
    debug_option,
    device_option,
    echo_json,
    foreign_option,
    json_option,
    note,
    progress_bar,
    space_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repvit_nas.checking.records import CheckRecord, NetworkRow
    from repvit_nas.checking.seeds import SeedsRecord

BROKEN: Final = 1
PICTURE_FILE: Final = "family.png"


@click.command("check")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@device_option
@space_option
@click.option(
    "--train-family",
    metavar="all|NAME,...",
    help="Train these reference networks by the same recipe on the same images first.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch.")
@foreign_option
@json_option
@debug_option
def command(
    runs: tuple[Path, ...],
    device: str,
    space: str,
    train_family: str | None,
    threads: int | None,
    *,
    foreign: bool,
    as_json: bool,
) -> int:
    r"""Check the network of a training RUN: architecture, counts, forms, accuracy, latency.

    Ends with exit code 1 if a promise is broken. The reference family stands beside the network:
    trained on the same images where asked, as published otherwise. Several runs that differ in
    their seed alone are put together in one table, left in the folder that holds them.

    \b
    Example: repvit-nas check results/train-repvit_m0_9-digits
    """
    import torch

    from repvit_nas.checking.check import BESIDE, Where, check_run
    from repvit_nas.checking.seeds import over_seeds, same_but_for_seed

    if threads is not None:
        torch.set_num_threads(threads)
    names = list(BESIDE) if train_family == "all" else (train_family or "").split(",")
    if len(runs) > 1:
        same_but_for_seed(runs)  # before anything is trained
    checked = []
    for run in runs:
        with progress_bar() as progress:
            found = check_run(
                run,
                Where(device, space, foreign),
                train_family=[name.strip() for name in names if name.strip()],
                say=note,
                progress=progress,
            )
        checked.append(found)
        _draw(run / PICTURE_FILE, [found.variant, *found.family], found)
        if not as_json:
            _print_run(run, found, beside=len(runs) == 1)
    code = 0 if all(found.kept for found in checked) else BROKEN
    if len(runs) == 1:
        if as_json:
            echo_json(checked[0])
        return code
    together = over_seeds(runs, checked)
    _leave(together, checked)
    if as_json:
        echo_json(together)
    else:
        _print_seeds(together)
    return code


def _print_run(run: Path, found: "CheckRecord", *, beside: bool) -> None:
    from rich.table import Table

    from repvit_nas.checking.records import standard_error
    from repvit_nas.report.checking import TABLE_HEADER, table_rows

    screen = console()
    promises = Table("promise", "kept", "promised", "found", title=str(run))
    for promise in found.promises:
        kept = "yes" if promise.kept else "BROKEN"
        promises.add_row(promise.name, kept, promise.promised, promise.found)
    screen.print(promises)
    if beside:
        table = Table(
            *TABLE_HEADER, title=f"Beside the family, on {found.device} ({found.variant.source})"
        )
        for cells in table_rows(found):
            table.add_row(*cells)
        screen.print(table)
        screen.print(
            f"The standard error of an accuracy on {found.val_images:,} images is "
            f"{standard_error(found):.2f} points: smaller differences say nothing."
        )
    if found.measured_ms is not None:
        screen.print(f"Measured on {found.device}: {found.measured_ms:.2f} ms")
    screen.print(
        f"One image by torch on one thread here: {found.export.unfused_ms:.2f} ms unfused, "
        f"{found.export.fused_ms:.2f} ms fused"
    )


def _leave(together: "SeedsRecord", checked: "Sequence[CheckRecord]") -> None:
    """Write the table and the picture of several runs into the folder that holds them."""
    from repvit_nas import files
    from repvit_nas.checking.seeds import SEEDS_FILE

    holder = Path(together.runs[0]).resolve().parent
    files.write_json(holder / SEEDS_FILE, together)
    rows = [row for found in checked for row in (found.variant, *found.family)]
    _draw(holder / PICTURE_FILE, rows, checked[0])


def _print_seeds(together: "SeedsRecord") -> None:
    from rich.table import Table

    from repvit_nas.report.checking import SEEDS_HEADER, seeds_rows

    source = together.networks[0].network.source
    title = f"Over {len(together.seeds)} seeds, on {together.device} ({source})"
    table = Table(*SEEDS_HEADER, title=title)
    for cells in seeds_rows(together):
        table.add_row(*cells)
    console().print(table)


def _draw(path: Path, rows: "Sequence[NetworkRow]", found: "CheckRecord") -> None:
    """Draw the networks that were trained, if there are several."""
    from repvit_nas import files
    from repvit_nas.report.training import family_picture

    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.top1 is not None:
            points.setdefault(row.name, []).append((row.latency_ms, row.top1))
    if len(points) > 1:
        axis = f"predicted ms on {found.device} ({found.variant.source}), as trained"
        files.write_bytes(path, family_picture(points, axis))
