"""`repvit-nas export`: a trained network in other forms."""

from pathlib import Path

import click

from repvit_nas.commands.options import console, debug_option, echo_json, json_option
from repvit_nas.errors import RepvitNasError


@click.command("export")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    default="onnx,coreml",
    show_default=True,
    metavar="onnx,coreml",
    help="What to write besides the fused form.",
)
@click.option("--images", type=click.IntRange(min=1), help="Compare on so many images. [all]")
@json_option
@debug_option
def command(run: Path, formats: str, images: int | None, *, as_json: bool) -> None:
    r"""Write the network of a training RUN fused, as ONNX and as a Core ML package.

    Each file is read back and compared with the training form on the validation images. The Core ML
    package takes pictures and names classes: preprocessing and labels are part of it.

    \b
    Example: repvit-nas export results/train-repvit_m0_9-digits --format onnx
    """
    from rich.table import Table

    from repvit_nas.export.forms import export_run

    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    if not wanted:
        raise RepvitNasError("--format must name onnx, coreml, or both; got nothing")
    record = export_run(run, wanted, limit=images)
    if as_json:
        echo_json(record)
        return
    table = Table("form", "file", "MB", "differs by", "at most", "same class", "run by")
    for form in record.forms:
        table.add_row(
            form.name,
            form.file,
            f"{form.size_bytes / 1e6:.2f}",
            f"{form.error:.1e}",
            f"{form.allowed:.0e}",
            f"{form.agreement:.2f} % of {form.images:,}",
            form.ran,
        )
    screen = console()
    screen.print(table)
    screen.print(
        f"One image on one thread here: {record.unfused_ms:.2f} ms unfused, {record.fused_ms:.2f} ms "
        f"fused ({record.unfused_ms / record.fused_ms:.2f} x)"
    )
