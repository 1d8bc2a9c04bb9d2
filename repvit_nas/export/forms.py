"""A network in every form that runs: fused, ONNX and Core ML, each read back and compared.

The training form is what all others are compared with, on validation images where there are some.
"""

import json
import statistics
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from torch import nn

from repvit_nas import files
from repvit_nas.architecture import OutputKind
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.classifier import core_ml_form, image_limit
from repvit_nas.export.comparing import (
    Answering,
    Answers,
    Fused,
    compare,
    fuse,
    scoring,
    torch_scores,
)
from repvit_nas.export.images import DRAWN, MAPS, ComparedOn, batches, drawn, labelled, run_images
from repvit_nas.export.maps import core_ml_maps, output_names
from repvit_nas.export.program import form_name
from repvit_nas.export.records import (
    EXPORT_FILE,
    ExportRecord,
    FewerBits,
    form_digest,
    read_export,
)
from repvit_nas.export.subject import Subject, trained_subject, untrained_subject
from repvit_nas.folders import held
from repvit_nas.networks import write_network
from repvit_nas.operations import HALF, WEIGHT_BITS, checked_bits
from repvit_nas.training.checkpoint import read_tensors, write_tensors
from repvit_nas.training.records import ARCHITECTURE_FILE, is_training_run
from repvit_nas.training.trained import trained_run
from repvit_nas.units import Network

FUSED_FILE: Final = "fused.safetensors"
ONNX_FILE: Final = "model.onnx"
COREML_FILES: Final = {
    bits: "model.mlpackage" if bits == HALF else f"model-w{bits}.mlpackage" for bits in WEIGHT_BITS
}
# Nobody shall take these for a trained network's.
UNTRAINED_ONNX_FILE: Final = "untrained.onnx"
UNTRAINED_COREML_FILES: Final = {
    bits: name.replace("model", "untrained") for bits, name in COREML_FILES.items()
}
FORMATS: Final = ("onnx", "coreml")
_ROUNDS: Final = 15
_FEWEST_ROUNDS: Final = 3
_LONGEST_S: Final = 20.0


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
    wanted = _known_formats(formats, opset, weights)
    run = trained_run(folder)
    chosen = run_images(run.record, data)
    subject = trained_subject(run, output=output)
    own = run.asked.architecture.output
    into = folder if output in (None, own) else folder / subject.architecture.output
    return export_trained(subject, into, chosen, wanted, limit=limit, opset=opset, weights=weights)


def export_trained(
    subject: Subject,
    into: Path,
    images: ComparedOn,
    formats: Collection[str] = (),
    *,
    limit: int | None = None,
    opset: int | None = None,
    weights: int = HALF,
    is_held: bool = False,
) -> ExportRecord:
    """Write a trained network in other forms, beside those of it that are there; see :func:`export_run`.

    Args:
        subject: The network.
        into: Where the forms go.
        images: What they are compared on.
        formats: Among `onnx` and `coreml`; the fused form is always made.
        limit: Images to compare on; None for all.
        opset: Of the ONNX file; None takes the exporter's own.
        weights: Bits of a stored weight of the Core ML form.
        is_held: Whether the caller holds that folder.
    """
    with nullcontext() if is_held else held(into, otherwise="export another run"):
        anew = {form_name(weights) if name == "coreml" else name for name in formats}
        before = _kept(into, subject.digest, {*anew, "fused"})
        exported = _export(into, subject, formats, images, limit=limit, opset=opset, bits=weights)
        exported = _with_kept(exported, before)
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
    wanted = _known_formats(formats, opset, weights)
    if is_training_run(out):
        raise RepvitNasError(
            f"{out}: holds a training run; give an untrained network another --out"
        )
    subject = untrained_subject(architecture)
    count = DRAWN if architecture.num_classes else MAPS
    chosen = drawn(architecture.resolution, "the network is untrained", count)
    with held(out):
        exported = _export(out, subject, wanted, chosen, limit=None, opset=opset, bits=weights)
        write_network(out / ARCHITECTURE_FILE, architecture)
        files.write_json(out / EXPORT_FILE, exported)
    return exported


def _known_formats(formats: Iterable[str], opset: int | None, bits: int) -> list[str]:
    wanted = list(dict.fromkeys(formats))
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


def _export(
    folder: Path,
    subject: Subject,
    wanted: Collection[str],
    chosen: ComparedOn,
    *,
    limit: int | None,
    opset: int | None,
    bits: int,
) -> ExportRecord:
    """Write the forms that are wanted, and the fused one of a trained network; compare each."""
    fused = fuse(subject.model)
    side = subject.architecture.resolution
    trained = bool(subject.digest)
    answering = [_fused(folder / FUSED_FILE, fused)] if trained else []
    maps = not subject.architecture.num_classes
    if "onnx" in wanted:
        path = folder / (ONNX_FILE if trained else UNTRAINED_ONNX_FILE)
        answering.append(_onnx(path, fused.single, subject, opset))
    taken = batches(chosen.images, subject.recipe, side, limit)
    rounding, forms = compare(subject.model, fused, answering, taken)
    operations: dict[str, int] = {}
    if "coreml" in wanted:
        few_images = MAPS if maps else image_limit(limit)
        few = torch.cat(list(batches(chosen.images, subject.recipe, side, few_images)))
        package = folder / (COREML_FILES if trained else UNTRAINED_COREML_FILES)[bits]
        convert = core_ml_maps if maps else core_ml_form
        form, operations, kept = convert(
            package, fused.single, subject, images=few, scores=scoring(subject.model), bits=bits
        )
        if form.fewer_bits and not maps and not chosen.missing:
            pairs = labelled(chosen.images, subject.recipe, side, limit)
            fewer = _with_accuracy(form.fewer_bits, fused.single, kept, pairs)
            form = msgspec.structs.replace(form, fewer_bits=fewer)
        forms.append(form)
    unfused_ms, fused_ms = latencies([subject.model, fused.single], side)
    return ExportRecord(
        digest=subject.digest,
        untrained=not trained,
        forms=tuple(forms),
        compared_on=chosen.words,
        missing=chosen.missing,
        rounding=rounding,
        opset=opset,
        operations=operations,
        unfused_ms=unfused_ms,
        fused_ms=fused_ms,
    )


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


def _fused(path: Path, fused: Fused) -> Answering:
    write_tensors(path, fused.single.state_dict())
    return fused_form(path, fused)


def fused_form(path: Path, fused: Fused) -> Answering:
    """Return the fused form as its file holds it.

    Raises:
        RepvitNasError: A tensor of the file is not that of the fused network, bit by bit.
        FileError: It cannot be read.
    """
    stored, known = read_tensors(path), fused.single.state_dict()
    wrong = [
        name
        for name, value in known.items()
        # A nan is equal to none; it is the scores that say so.
        if name not in stored or stored[name].numpy().tobytes() != value.numpy().tobytes()
    ]
    if wrong or len(stored) != len(known):
        raise RepvitNasError(
            f"{path}: {len(wrong)} of {len(known)} tensors are not the fused network's, the first is "
            f"{(wrong or sorted(set(stored) - set(known)))[0]}: do not use it"
        )
    return Answering("fused", path, "torch", scoring(fused.single))


def _onnx(path: Path, fused: nn.Module, subject: Subject, opset: int | None) -> Answering:
    """Export with torch's exporter, for any number of images; preprocessing stays outside."""
    try:
        import onnxruntime

        from repvit_nas.conversion.onnx import exported_model
    except ImportError as error:
        raise RepvitNasError("--format onnx needs: pip install 'repvit-nas[onnx]'") from error
    side = subject.architecture.resolution
    example = torch.zeros(2, 3, side, side)
    model = exported_model(
        fused, example, names=("image", *output_names(subject.architecture)), opset=opset
    )
    for key, value in (subject.known | _preparation(fused)).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    model.doc_string = subject.title
    files.write_bytes(path, model.SerializeToString())
    return onnx_form(path, onnxruntime)


def onnx_form(path: Path, runtime: Any) -> Answering:
    """Return the ONNX form as onnxruntime runs its file."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def scores(images: torch.Tensor) -> Answers:
        found: Answers = session.run(None, {name: images.numpy()})
        return found

    return Answering("onnx", path, f"onnxruntime {runtime.__version__}", scores)


def _preparation(model: Any) -> dict[str, str]:
    config = model.pretrained_cfg
    return {"mean": json.dumps(config["mean"]), "std": json.dumps(config["std"])}


def latencies(models: Sequence[nn.Module], resolution: int, rounds: int = _ROUNDS) -> list[float]:
    """Time networks on one image and one thread, in turns; returns medians in milliseconds."""
    image = torch.zeros(1, 3, resolution, resolution)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: list[list[float]] = [[] for _ in models]
    began = time.perf_counter()
    try:
        with torch.inference_mode():
            for done in range(rounds):
                if done >= _FEWEST_ROUNDS and time.perf_counter() - began > _LONGEST_S:
                    break  # an encoder of 1024 px takes seconds an image
                for model, own in zip(models, times, strict=True):
                    model(image)  # what ran before has filled the caches with other weights
                    started = time.perf_counter()
                    model(image)
                    own.append(1e3 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return [statistics.median(own) for own in times]
