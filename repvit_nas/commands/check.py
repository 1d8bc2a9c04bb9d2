"""`repvit-nas check`: is a trained network what was promised?"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import note, progress_bar, show
from repvit_nas.commands.options import (
    data_now_option,
    debug_option,
    device_option,
    family_option,
    foreign_option,
    phone_options,
    space_option,
    threads_option,
)
from repvit_nas.commands.runtime import check_options
from repvit_nas.commands.stopping import stoppable
from repvit_nas.folders import writable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from repvit_nas.checking.records import CheckRecord, ComparedNetwork
    from repvit_nas.checking.seeds import SeedsRecord

BROKEN: Final = 1
PICTURE_FILE: Final = "family.png"


@click.command("check")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@device_option
@space_option
@family_option("Train these reference networks by the same recipe on the same images first.")
@data_now_option
@click.option(
    "--decoder",
    type=click.Path(path_type=Path),
    help="A checkpoint of SAM: compare the masks that its decoder makes of maps and the teacher's.",
)
@threads_option
@foreign_option
@phone_options
@answers
@debug_option
def command(
    runs: tuple[Path, ...],
    *,
    device: str,
    space: str | None,
    train_family: str | None,
    data: str,
    decoder: Path | None,
    threads: int | None,
    foreign: bool,
    team: str,
    udid: str,
) -> "Iterator[Answer[Any]]":
    r"""Check the network of a training RUN: architecture, counts, forms, accuracy, latency.

    Ends with exit code 1 if a promise is broken; one that cannot be checked here is said to be
    so. The reference family stands beside the network: trained on the same images where asked, as
    published otherwise. Several runs that differ in their seed alone are put together in one table,
    left in the folder that holds them.

    \b
    Example: repvit-nas check results/train-repvit_m0_9-digits
    """
    import torch

    from repvit_nas.checking.check import Where, check, read_to_check
    from repvit_nas.checking.family import family_names, train_beside
    from repvit_nas.checking.seeds import over_seeds, same_but_for_seed
    from repvit_nas.coreml.products import product
    from repvit_nas.timing import Access

    if product(device) is None:
        check_options(device, core_ml=False)
    if threads is not None:
        torch.set_num_threads(threads)
    names = family_names(train_family)
    where = Where(device, space or Where().space, foreign, Access(team, udid), decoder)
    if len(runs) > 1:
        same_but_for_seed(runs)  # before anything is trained
    checked = []
    for run in runs:
        keep = writable(run)
        if not keep and run.is_dir():
            note(f"{run}: cannot be written, so what is found is not kept there")
        with progress_bar() as bar, stoppable(bar) as progress:
            known = read_to_check(run, where)
            train_beside(known.run, names, data=data, say=note, progress=progress)
            found = check(known, where, keep=keep, data=data, say=note, progress=progress)
        checked.append(found)
        if keep:
            _draw(run / PICTURE_FILE, [found.variant, *found.family], found)
        code = 0 if found.kept else BROKEN
        yield Answer(found, partial(_show_run, run, beside=len(runs) == 1), code=code)
    if len(runs) > 1:
        together = over_seeds(runs, checked)
        _leave(together, checked)
        yield Answer(together, _show_seeds, code=0 if together.kept else BROKEN)


def _show_run(run: Path, found: "CheckRecord", *, beside: bool) -> None:
    from repvit_nas.report.checking import check_parts

    show(*check_parts(str(run), found, beside=beside))


def _show_seeds(together: "SeedsRecord") -> None:
    from repvit_nas.report.checking import seeds_parts

    show(*seeds_parts(together))


def _leave(together: "SeedsRecord", checked: "Sequence[CheckRecord]") -> None:
    """Write the table and the picture of several runs into the folder that holds them."""
    from repvit_nas import files
    from repvit_nas.checking.seeds import SEEDS_FILE

    holder = Path(together.runs[0]).resolve().parent
    if not writable(holder):
        note(f"{holder}: cannot be written, so the table of the seeds is not kept there")
        return
    files.write_json(holder / SEEDS_FILE, together)
    rows = [row for found in checked for row in (found.variant, *found.family)]
    _draw(holder / PICTURE_FILE, rows, checked[0])


def _draw(path: Path, rows: "Sequence[ComparedNetwork]", found: "CheckRecord") -> None:
    """Draw the networks that were trained, if there are several."""
    from repvit_nas import files
    from repvit_nas.report.checking import drawn_family

    picture = drawn_family(rows, found)
    if picture is not None:
        files.write_bytes(path, picture)
