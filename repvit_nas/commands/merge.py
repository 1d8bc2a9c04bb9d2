"""`repvit-nas merge`: one front of several searches."""

import shlex
from pathlib import Path

import click

from repvit_nas.commands.options import (
    console,
    debug_option,
    echo_json,
    foreign_option,
    json_option,
    progress_bar,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import number_of


@click.command("merge")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(), help="Folder of the merged run. [results/...-merged]")
@click.option("--overwrite", is_flag=True, help="Replace another run in the folder.")
@foreign_option
@json_option
@debug_option
def command(
    runs: tuple[Path, ...], *, out: str | None, overwrite: bool, foreign: bool, as_json: bool
) -> None:
    r"""Merge the fronts of runs into one.

    For searches of one thing with other seeds or samplers, on this machine or copied from others;
    the merged run is a run like any other.

    \b
    Example: repvit-nas merge results/iphone12-1.0ms results/iphone12-1.0ms-seed-1
    """
    import msgspec

    from repvit_nas.report.run_report import render, run_tables
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
    result = merged.finding.result
    if as_json:
        parts = {str(each.folder): [each.kept, each.networks] for each in merged.parts}
        echo_json(msgspec.to_builtins(result) | {"folder": str(merged.folder), "kept of": parts})
        return
    screen = console()
    for table in run_tables(merged.finding):
        screen.print(table)
    for part in merged.parts:
        screen.print(f"{part.folder}: {part.kept:,} of its {part.networks:,} are on the front.")
    screen.print(f"{number_of(len(result.front), 'network')} on the front, in {merged.folder}")
