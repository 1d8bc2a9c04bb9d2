"""A network in every form that runs: fused, ONNX and Core ML, each read back and compared.

The training form is what all others are compared with, on validation images where there are some.
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import torch
from torch import nn

from repvit_nas import files
from repvit_nas.architecture import OutputKind
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.classifier import core_ml_form, image_limit
from repvit_nas.export.comparing import compared, fused_answering, scoring, torch_scores
from repvit_nas.export.fused import fuse, write_fused
from repvit_nas.export.images import DRAWN, MAPS, ComparedOn, batches, drawn, labelled, run_images
from repvit_nas.export.maps import core_ml_maps
from repvit_nas.export.onnx import write_onnx
from repvit_nas.export.program import form_name
from repvit_nas.export.records import (
    COREML_FILES,
    EXPORT_FILE,
    FUSED_FILE,
    ONNX_FILE,
    ExportRecord,
    FewerBits,
    Form,
    form_digest,
    read_export,
)
from repvit_nas.export.subject import Subject, trained_subject, untrained_subject
from repvit_nas.folders import held
from repvit_nas.networks import write_network
from repvit_nas.operations import HALF, checked_bits
from repvit_nas.training.records import ARCHITECTURE_FILE, is_training_run
from repvit_nas.training.trained import trained_run
from repvit_nas.units import Network

# Nobody shall take these for a trained network's.
UNTRAINED_ONNX_FILE: Final = "untrained.onnx"
UNTRAINED_COREML_FILES: Final = {
    bits: name.replace("model", "untrained") for bits, name in COREML_FILES.items()
}
FORMATS: Final = ("onnx", "coreml")


class Wanted(NamedTuple):
    """Which forms are wanted.

    Attributes:
        formats: Among `onnx` and `coreml`; the fused form of a trained network is always made.
        limit: Images to compare on; None for all.
        opset: Of the ONNX file; None takes the exporter's own.
        bits: Of a stored weight of the Core ML form.
    """

    formats: tuple[str, ...] = ()
    limit: int | None = None
    opset: int | None = None
    bits: int = HALF

    @property
    def names(self) -> set[str]:
        """What the forms are called."""
        return {form_name(self.bits) if each == "coreml" else each for each in self.formats}


def export_run(
    folder: Path,
    formats: Iterable[str],
    *,
    limit: int | None = None,
    data: str = "",
    opset: int | None = None,
    weights: int = HALF,
    output: OutputKind | None = None,
) -> ExportRecord:
    """Write a run's network in other forms into its folder, read each back and compare it.

    Args:
        folder: A finished training run.
        formats: Among `onnx` and `coreml`; the fused form is always made.
        limit: Images to compare on; None for all.
        data: Where the images to validate on are; empty for where the run had them. Where they are
            not here any more, drawn ones take their place.
        opset: Of the ONNX file; None takes the exporter's own.
        weights: Bits of a stored weight of the Core ML form: 16, 8, 6 or 4. Each has a file of its own.
        output: What they hand back; `features` of a trained classifier leave its head out, and lie in a
            folder of their own. None for what the run was trained for.

    Raises:
        RepvitNasError: The run is not finished, a format or its library is not known, `data` does not
            hold the run's classes, or a form is not the same network.
        FileError: A file cannot be read or written, or the weights are not those that the training left.
    """
    wanted = Wanted(_known_formats(formats, opset, weights), limit, opset, weights)
    run = trained_run(folder)
    chosen = run_images(run.record, data)
    subject = trained_subject(run, output=output)
    own = run.asked.architecture.output
    into = folder if output in (None, own) else folder / subject.architecture.output
    return export_trained(subject, into, chosen, wanted)


def export_trained(
    subject: Subject, into: Path, images: ComparedOn, wanted: Wanted | None = None
) -> ExportRecord:
    """Write a trained network in other forms, beside those of it that are there; see :func:`export_run`.

    Args:
        subject: The network.
        into: Where the forms go.
        images: What they are compared on.
        wanted: Which forms; None for the fused one alone.
    """
    wanted = wanted or Wanted()
    with held(into, otherwise="export another run"):
        before = _kept(into, subject.digest, {*wanted.names, "fused"})
        exported = _with_kept(_export(into, subject, images, wanted), before)
        files.write_json(into / EXPORT_FILE, exported)
    return exported


def export_fused(subject: Subject, into: Path, images: ComparedOn) -> ExportRecord:
    """Write the fused form of a trained network alone, into a folder that holds no other form of it.

    Args:
        subject: The network.
        into: The folder, which the caller holds.
        images: What it is compared on.

    Raises:
        RepvitNasError: It is not the same network.
        FileError: It cannot be written.
    """
    fused = fuse(subject.model)
    written = write_fused(into / FUSED_FILE, fused)
    form = fused_answering(written, fused)
    exported = compared(subject, fused, [form], images)
    files.write_json(into / EXPORT_FILE, exported)
    return exported


def _with_kept(exported: ExportRecord, before: ExportRecord | None) -> ExportRecord:
    """Return what was exported now with the forms that were there before."""
    if before is None:
        return exported
    anew = any(form.name == "onnx" for form in exported.forms)
    return msgspec.structs.replace(
        exported,
        forms=(*exported.forms, *before.forms),
        operations=exported.operations or before.operations,
        opset=exported.opset if anew else before.opset,
    )


def export_untrained(
    architecture: Network,
    formats: Iterable[str],
    out: Path,
    *,
    opset: int | None = None,
    weights: int = HALF,
) -> ExportRecord:
    """Write a network of random weights in other forms: what its latency is tested with.

    Args:
        architecture: The network.
        formats: Among `onnx` and `coreml`.
        out: The folder to write to.
        opset: Of the ONNX file; None takes the exporter's own.
        weights: Bits of a stored weight of the Core ML form, as in :func:`export_run`.

    Raises:
        RepvitNasError: A format or its library is not known, a form is not the same network, or the
            folder is that of a training run.
        FileError: A file cannot be written.
    """
    wanted = Wanted(_known_formats(formats, opset, weights), opset=opset, bits=weights)
    if is_training_run(out):
        raise RepvitNasError(
            f"{out}: holds a training run; give an untrained network another --out"
        )
    subject = untrained_subject(architecture)
    count = DRAWN if architecture.num_classes else MAPS
    chosen = drawn(architecture.resolution, "the network is untrained", count)
    with held(out):
        exported = _export(out, subject, chosen, wanted)
        write_network(out / ARCHITECTURE_FILE, architecture)
        files.write_json(out / EXPORT_FILE, exported)
    return exported


def _known_formats(formats: Iterable[str], opset: int | None, bits: int) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(formats))
    for name in wanted:
        if name not in FORMATS:
            raise RepvitNasError(f"--format must be among {', '.join(FORMATS)}; got {name!r}")
    if opset is not None and "onnx" not in wanted:
        raise RepvitNasError("--opset is of an ONNX file; add onnx to --format, or leave it out")
    without = [name for name in wanted if name != "coreml"] or ([] if wanted else ["fused"])
    if checked_bits(bits) != HALF and without:
        raise RepvitNasError(
            f"--weights {bits} is of a Core ML package, and {without[0]} has none of so few bits: give "
            "--format coreml alone, or leave --weights out"
        )
    return wanted


def _export(folder: Path, subject: Subject, chosen: ComparedOn, wanted: Wanted) -> ExportRecord:
    """Write the forms that are wanted, and the fused one of a trained network; compare each."""
    fused = fuse(subject.model)
    answering = []
    if subject.digest:
        answering.append(fused_answering(write_fused(folder / FUSED_FILE, fused), fused))
    if "onnx" in wanted.formats:
        path = folder / (ONNX_FILE if subject.digest else UNTRAINED_ONNX_FILE)
        answering.append(write_onnx(path, fused.single, subject, wanted.opset))
    exported = compared(subject, fused, answering, chosen, limit=wanted.limit)
    if "coreml" in wanted.formats:
        form, operations = _core_ml(folder, subject, fused.single, chosen, wanted)
        exported = msgspec.structs.replace(
            exported, forms=(*exported.forms, form), operations=operations
        )
    return msgspec.structs.replace(exported, opset=wanted.opset)


def _core_ml(
    folder: Path, subject: Subject, fused: nn.Module, chosen: ComparedOn, wanted: Wanted
) -> tuple[Form, dict[str, int]]:
    """Write a Core ML package and compare it; return it, and how often each operation occurs in it."""
    side, bits = subject.architecture.resolution, wanted.bits
    maps = not subject.architecture.num_classes
    few_images = MAPS if maps else image_limit(wanted.limit)
    few = torch.cat(list(batches(chosen.images, subject.recipe, side, few_images)))
    package = folder / (COREML_FILES if subject.digest else UNTRAINED_COREML_FILES)[bits]
    converted = core_ml_maps if maps else core_ml_form
    form, operations, kept = converted(
        package, fused, subject, images=few, scores=scoring(subject.model), bits=bits
    )
    if form.fewer_bits and not maps and not chosen.missing:
        pairs = labelled(chosen.images, subject.recipe, side, wanted.limit)
        fewer = _with_accuracy(form.fewer_bits, fused, kept, pairs)
        form = msgspec.structs.replace(form, fewer_bits=fewer)
    return form, operations


def _with_accuracy(
    fewer: FewerBits,
    own: nn.Module,
    kept: nn.Module,
    pairs: Iterable[tuple[torch.Tensor, torch.Tensor]],
) -> FewerBits:
    """Return what weights of fewer bits change, with the accuracy of both networks."""
    right, count = [0, 0], 0
    for batch, target in pairs:
        count += len(batch)
        for place, network in enumerate((own, kept)):
            found = torch_scores(network, batch)[0].argmax(1)
            right[place] += int((found == target.numpy()).sum())
    before, after = (100 * number / max(count, 1) for number in right)
    return msgspec.structs.replace(fewer, top1=after, top1_before=before, top1_images=count)


def _kept(folder: Path, digest: str, anew: Collection[str]) -> ExportRecord | None:
    """Return what was exported of these weights before, is still there, and is not made anew."""
    before = read_export(folder)
    if before is None or before.digest != digest:
        return None
    forms = tuple(
        form
        for form in before.forms
        if form.name not in anew and form_digest(folder / form.file) == form.digest
    )
    return msgspec.structs.replace(before, forms=forms)
