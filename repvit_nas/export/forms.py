"""A trained network in every form that runs: fused, ONNX and Core ML, each read back and compared.

The training form of the run's folder is what all others are compared with, on validation images.
"""

import functools
import json
import statistics
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import torch
from torch import nn

from repvit_nas import files
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.classifier import Floats, Scoring, core_ml_form, image_limit
from repvit_nas.export.records import EXPORT_FILE, ExportRecord, Form, form_digest, read_export
from repvit_nas.network import reparameterize
from repvit_nas.training.checkpoint import read_tensors, write_tensors
from repvit_nas.training.loading import World, val_batches
from repvit_nas.training.records import WEIGHTS_FILE, TrainFile, file_digest, finished
from repvit_nas.training.trained import load_trained

FUSED_FILE: Final = "fused.safetensors"
ONNX_FILE: Final = "model.onnx"
COREML_FILE: Final = "model.mlpackage"
FORMATS: Final = ("onnx", "coreml")
# The largest difference of a score from the training form's, relative to the largest score.
FUSED_TOLERANCE: Final = 1e-5
ONNX_TOLERANCE: Final = 1e-4
_BATCH: Final = 64
_ROUNDS: Final = 15


class Answering(NamedTuple):
    """A form that was read back from its file.

    Attributes:
        name: `fused` or `onnx`.
        file: Its file in the run's folder.
        allowed: How far its scores may be from the training form's.
        ran: What runs it.
        scores: Returns its scores of prepared images.
    """

    name: str
    file: str
    allowed: float
    ran: str
    scores: Scoring


def export_run(
    folder: Path,
    formats: Iterable[str],
    *,
    limit: int | None = None,
    images: Any = None,
    verify: bool = True,
) -> ExportRecord:
    """Write a run's network in other forms into its folder, read each back and compare it.

    Args:
        folder: A finished training run.
        formats: Among `onnx` and `coreml`; the fused form is always made.
        limit: Validation images to compare on; None for all.
        images: The validation images, where they are open already.
        verify: Refuse weights that are not those that the training left; `check` says so itself.

    Raises:
        RepvitNasError: The run is not finished, a format or its library is not known, or a form is
            not the same network.
        FileError: A file cannot be read or written.
    """
    wanted = list(dict.fromkeys(formats))
    for name in wanted:
        if name not in FORMATS:
            raise RepvitNasError(f"--format must be among {', '.join(FORMATS)}; got {name!r}")
    record = finished(folder)
    model = load_trained(folder, verify=verify)
    fused = reparameterize(model)
    digest = file_digest(folder / WEIGHTS_FILE)
    known = metadata(record, digest)
    answering = [_fused(folder, model, fused)]
    if "onnx" in wanted:
        answering.append(_onnx(folder, fused, record, known))
    forms = _compared(folder, model, answering, _batches(record, images, limit))
    before = _kept(folder, digest, {*wanted, "fused"})
    forms += [] if before is None else before.forms
    operations = {} if before is None else before.operations
    if "coreml" in wanted:
        few = torch.cat(list(_batches(record, images, image_limit(limit))))
        form, operations = core_ml_form(
            folder / COREML_FILE, fused, record, known, images=few, scores=_scoring(model)
        )
        forms.append(_checked(form))
    unfused_ms, fused_ms = latencies([model, fused], record.asked.architecture.resolution)
    exported = ExportRecord(
        digest=digest,
        forms=tuple(forms),
        operations=operations,
        unfused_ms=unfused_ms,
        fused_ms=fused_ms,
    )
    files.write_json(folder / EXPORT_FILE, exported)
    return exported


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


def _batches(record: TrainFile, images: Any, limit: int | None) -> Iterator[torch.Tensor]:
    """Return the first validation images in parts, as the network takes them."""
    from repvit_nas.training.data import open_data

    asked = record.asked
    resolution = asked.architecture.resolution
    loader = val_batches(
        images if images is not None else open_data(asked.data, resolution, to_train=False).val,
        asked.recipe,
        resolution,
        world=World(),
        device=torch.device("cpu"),
        workers=0,
        batch=_BATCH,
    )
    count = 0
    for batch, _ in loader:
        taken = batch if limit is None else batch[: limit - count]
        yield taken
        count += len(taken)
        if limit is not None and count >= limit:
            return


def _compared(
    folder: Path,
    model: nn.Module,
    answering: Sequence[Answering],
    batches: Iterable[torch.Tensor],
) -> list[Form]:
    """Compare forms with the training form, a part of the images at a time.

    Raises:
        RepvitNasError: A form's scores are too far from the training form's.
    """
    largest, count = 0.0, 0
    apart, agreed = [0.0] * len(answering), [0] * len(answering)
    for batch in batches:
        expected = torch_scores(model, batch)
        largest = max(largest, float(np.abs(expected).max()))
        count += len(expected)
        for number, form in enumerate(answering):
            found = form.scores(batch)
            # `np.maximum` hands a nan on, the built-in `max` may not.
            apart[number] = float(np.maximum(apart[number], np.abs(found - expected).max()))
            agreed[number] += int((found.argmax(1) == expected.argmax(1)).sum())
    return [
        _checked(
            Form(
                name=form.name,
                file=form.file,
                digest=form_digest(folder / form.file),
                size_bytes=(folder / form.file).stat().st_size,
                error=difference / max(largest, 1e-12),
                allowed=form.allowed,
                agreement=100 * right / max(count, 1),
                images=count,
                ran=form.ran,
            )
        )
        for form, difference, right in zip(answering, apart, agreed, strict=True)
    ]


def torch_scores(model: nn.Module, images: torch.Tensor) -> Floats:
    """Return a module's scores of prepared images."""
    with torch.inference_mode():
        scores: Floats = model(images).numpy()
    return scores


def _scoring(model: nn.Module) -> Scoring:
    return functools.partial(torch_scores, model)


def _checked(form: Form) -> Form:
    """Return a form, unless it is another network.

    Raises:
        RepvitNasError: Its answers are too far from the training form's.
    """
    if not form.error <= form.allowed:  # a nan is refused too
        raise RepvitNasError(
            f"{form.file}: differs from the training form by {form.error:.1e}; at most "
            f"{form.allowed:.0e} is rounding: do not use it"
        )
    return form


def _fused(folder: Path, model: nn.Module, fused: nn.Module) -> Answering:
    write_tensors(folder / FUSED_FILE, fused.state_dict())
    again = reparameterize(model)
    for value in again.state_dict().values():
        value.zero_()  # what is compared comes from the file
    again.load_state_dict(read_tensors(folder / FUSED_FILE))
    return Answering("fused", FUSED_FILE, FUSED_TOLERANCE, "torch", _scoring(again))


def metadata(record: TrainFile, digest: str) -> dict[str, str]:
    """Return what a file says of itself: architecture, classes, accuracy, digest of the weights."""
    outcome = record.outcome
    return {
        "architecture": msgspec.json.encode(record.asked.architecture).decode(),
        "classes": json.dumps(record.classes),
        "data": record.asked.data.name,
        "top1": "" if outcome is None else f"{outcome.top1:.3f}",
        "weights_digest": digest,
        "repvit_nas": record.versions["repvit_nas"],
    }


def _onnx(folder: Path, fused: nn.Module, record: TrainFile, known: dict[str, str]) -> Answering:
    """Export with torch's exporter, for any number of images; preprocessing stays outside."""
    try:
        import onnxruntime

        from repvit_nas.conversion.onnx import exported_model
    except ImportError as error:
        raise RepvitNasError("--format onnx needs: pip install 'repvit-nas[onnx]'") from error
    side = record.asked.architecture.resolution
    model = exported_model(
        fused,
        torch.zeros(2, 3, side, side),
        input_names=["image"],
        output_names=["scores"],
        dynamic_shapes={"x": {0: torch.export.Dim("images")}},
    )
    for key, value in (known | _preparation(fused)).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    files.write_bytes(folder / ONNX_FILE, model.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / ONNX_FILE), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def scores(images: torch.Tensor) -> Floats:
        found: Floats = session.run(None, {name: images.numpy()})[0]
        return found

    ran = f"onnxruntime {onnxruntime.__version__}"
    return Answering("onnx", ONNX_FILE, ONNX_TOLERANCE, ran, scores)


def _preparation(model: Any) -> dict[str, str]:
    config = model.pretrained_cfg
    return {"mean": json.dumps(config["mean"]), "std": json.dumps(config["std"])}


def latencies(models: list[nn.Module], resolution: int, rounds: int = _ROUNDS) -> list[float]:
    """Time networks on one image and one thread, in turns; returns medians in milliseconds."""
    image = torch.zeros(1, 3, resolution, resolution)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: list[list[float]] = [[] for _ in models]
    try:
        with torch.inference_mode():
            for _ in range(rounds):
                for model, own in zip(models, times, strict=True):
                    model(image)  # what ran before has filled the caches with other weights
                    started = time.perf_counter()
                    model(image)
                    own.append(1e3 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return [statistics.median(own) for own in times]
