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
    from repvit_nas.checking.check import CheckRecord

BROKEN: Final = 1
PICTURE_FILE: Final = "family.png"


@click.command("check")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
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
    run: Path,
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
    trained on the same images where asked, as published otherwise.

    \b
    Example: repvit-nas check results/train-repvit_m0_9-digits
    """
    import torch
    from rich.table import Table

    from repvit_nas.checking.check import (
        BESIDE,
        TABLE_HEADER,
        Where,
        check_run,
        standard_error,
        table_rows,
    )

    if threads is not None:
        torch.set_num_threads(threads)
    names = list(BESIDE) if train_family == "all" else (train_family or "").split(",")
    with progress_bar() as progress:
        found = check_run(
            run,
            Where(device, space, foreign),
            train_family=[name.strip() for name in names if name.strip()],
            say=note,
            progress=progress,
        )
    _draw(run, found)
    code = 0 if found.kept else BROKEN
    if as_json:
        echo_json(found)
        return code
    screen = console()
    promises = Table("promise", "kept", "promised", "found", title=str(run))
    for promise in found.promises:
        kept = "yes" if promise.kept else "BROKEN"
        promises.add_row(promise.name, kept, promise.promised, promise.found)
    screen.print(promises)
    table = Table(*TABLE_HEADER, title=f"Beside the family, on {device} ({found.variant.source})")
    for cells in table_rows(found):
        table.add_row(*cells)
    screen.print(table)
    screen.print(
        f"The standard error of an accuracy on {found.val_images:,} images is "
        f"{standard_error(found):.2f} points: smaller differences say nothing."
    )
    if found.measured_ms is not None:
        screen.print(f"Measured on {device}: {found.measured_ms:.2f} ms")
    screen.print(
        f"One image by torch on one thread here: {found.export.unfused_ms:.2f} ms unfused, "
        f"{found.export.fused_ms:.2f} ms fused"
    )
    return code


def _draw(run: Path, found: "CheckRecord") -> None:
    """Draw the network and the family trained beside it, where there is one."""
    from repvit_nas import files
    from repvit_nas.report.training import family_picture

    trained = [row for row in (found.variant, *found.family) if row.top1 is not None]
    if len(trained) > 1:
        points = {row.name: [(row.latency_ms, row.top1 or 0.0)] for row in trained}
        axis = f"predicted ms on {found.device} ({found.variant.source}), as trained"
        files.write_bytes(run / PICTURE_FILE, family_picture(points, axis))
