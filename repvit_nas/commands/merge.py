"""`repvit-nas merge`: one front of several searches."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import progress_bar, show
from repvit_nas.commands.options import debug_option, foreign_option
from repvit_nas.errors import RepvitNasError

if TYPE_CHECKING:
    from repvit_nas.searching.merge import Merged


@click.command("merge")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(), help="Folder of the merged run. [results/...-merged]")
@click.option("--overwrite", is_flag=True, help="Replace another run in the folder.")
@foreign_option
@answers
@debug_option
def command(
    runs: tuple[Path, ...], *, out: str | None, overwrite: bool, foreign: bool
) -> Answer["Merged"]:
    r"""Merge the fronts of runs into one.

    For searches of one thing with other seeds or samplers, on this machine or copied from others;
    the merged run is a run like any other.

    \b
    Example: repvit-nas merge results/iphone12-1.0ms results/iphone12-1.0ms-seed-1
    """
    from repvit_nas.report.run_report import render
    from repvit_nas.searching.merge import merge

    if len({each.resolve() for each in runs}) < max(2, len(runs)):
        raise RepvitNasError("merge takes two runs or more, each once")
    if out == "":
        raise RepvitNasError("--out must name a folder; got ''")
    words = ["repvit-nas", "merge", *map(str, runs), *(["--out", out] if out else [])]
    with progress_bar() as progress:
        merged = merge(
            runs,
            Path(out) if out else None,
            render,
            command=shlex.join(words),
            overwrite=overwrite,
            foreign=foreign,
            progress=progress,
        )
    return Answer(merged, _show, _document)


def _document(merged: "Merged") -> object:
    import msgspec

    parts = {str(each.folder): [each.kept, each.networks] for each in merged.parts}
    result = msgspec.structs.asdict(merged.finding.result)
    return result | {"folder": str(merged.folder), "kept of": parts}


def _show(merged: "Merged") -> None:
    from repvit_nas.report.run_report import front_size, run_tables

    show(
        *run_tables(merged.finding),
        *(
            f"{part.folder}: {part.kept:,} of its {part.networks:,} are on the front."
            for part in merged.parts
        ),
        f"{front_size(merged.finding.result)}, in {merged.folder}",
    )
