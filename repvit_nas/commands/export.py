"""`repvit-nas export`: a trained network in other forms, or an untrained one for a latency test."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from repvit_nas.commands.answer import Answer, answers
from repvit_nas.commands.console import note, show
from repvit_nas.commands.options import (
    data_now_option,
    debug_option,
    output_option,
    resolution_option,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.operations import HALF

if TYPE_CHECKING:
    from repvit_nas.architecture import OutputKind
    from repvit_nas.export.records import ExportRecord


@click.command("export")
@click.argument("run", metavar="RUN|ARCH")
@click.option(
    "--format",
    "formats",
    metavar="onnx,coreml",
    help="What to write besides the fused form. [both; coreml alone with --weights]",
)
@click.option(
    "--weights",
    type=int,
    default=16,
    show_default=True,
    metavar="8|6|4",
    help="Bits of a stored weight of the Core ML package, which has a file of its own then.",
)
@click.option("--images", type=click.IntRange(min=1), help="Compare on so many images. [all]")
@data_now_option
@click.option(
    "--opset",
    type=click.IntRange(min=9),
    help="Of the ONNX file; below 20, Gelu is written as what it consists of. [the exporter's own]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where an untrained ARCH goes."
)
@resolution_option
@output_option
@answers
@debug_option
def command(
    run: str,
    *,
    formats: str | None,
    weights: int,
    images: int | None,
    data: str,
    opset: int | None,
    out: Path | None,
    resolution: int | None,
    output: "OutputKind | None",
) -> Answer["ExportRecord"]:
    r"""Write the network of a training RUN fused, as ONNX and as a Core ML package.

    Each file is read back and compared with the training form on the validation images, or on drawn
    ones where those are not here. The Core ML package takes pictures and names classes: preprocessing
    and labels are part of it. A network that hands back maps names these (--output features of a
    trained classifier leaves its head out), and a SAM encoder pads its picture. With --weights it stores
    weights in fewer bits, and what that changes is said: of the answers, and of the accuracy where there are
    images to validate on. An ARCH goes to --out with random weights, for a latency test only.

    \b
    Example: repvit-nas export results/train-repvit_m0_9-digits --format onnx
    Example: repvit-nas export results/iphone12-1.0ms:best --format onnx --out latency-test
    Example: repvit-nas export results/train-repvit_m0_9-digits --weights 6
    """
    if formats is None:
        formats = "onnx,coreml" if weights == HALF else "coreml"
    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    if not wanted:
        raise RepvitNasError("--format must name onnx, coreml, or both; got nothing")
    if out is None:
        if resolution is not None:
            raise RepvitNasError("--resolution is for an ARCH; a RUN has that of its images")
        record = _run_record(
            run, wanted, limit=images, data=data, opset=opset, output=output, weights=weights
        )
    elif data or images:
        raise RepvitNasError(
            "with --out a network is untrained, and compared on drawn images: leave out --data and "
            "--images"
        )
    else:
        record = _untrained_record(
            run, wanted, out, opset=opset, resolution=resolution, output=output, weights=weights
        )
    return Answer(record, partial(_show, str(out or run)))


def _run_record(
    run: str,
    wanted: list[str],
    *,
    limit: int | None,
    data: str,
    opset: int | None,
    output: "OutputKind | None",
    weights: int,
) -> "ExportRecord":
    from repvit_nas.export.forms import export_run
    from repvit_nas.named import load_network
    from repvit_nas.training.records import is_training_run, read_training

    folder = Path(run)
    trained_here = is_training_run(folder)
    if not trained_here and not folder.is_dir():
        load_network(run)  # says what is wrong with a name that stands for nothing
        raise RepvitNasError(f"{run} is untrained: say with --out DIR where its files shall go")
    trained = read_training(folder).asked.architecture.output if trained_here else output
    if output not in (None, trained):
        note(f"{run} was trained for {trained}: its head is left out")
    return export_run(
        folder, wanted, limit=limit, data=data, opset=opset, output=output, weights=weights
    )


def _untrained_record(
    arch: str,
    wanted: list[str],
    out: Path,
    *,
    opset: int | None,
    resolution: int | None,
    output: "OutputKind | None",
    weights: int,
) -> "ExportRecord":
    from repvit_nas.export.forms import export_untrained
    from repvit_nas.named import load_network, shaped
    from repvit_nas.training.records import is_training_run

    if is_training_run(Path(arch)):
        raise RepvitNasError(
            f"{arch}: the forms of a run go into its folder; leave out --out {out}, or give an ARCH"
        )
    network = shaped(load_network(arch), output, resolution)
    return export_untrained(network, wanted, out, opset=opset, weights=weights)


def _show(title: str, record: "ExportRecord") -> None:
    from repvit_nas.report.export import export_parts

    show(*export_parts(title, record))
