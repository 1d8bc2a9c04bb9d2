"""The ONNX form: for any number of prepared images; preprocessing stays outside."""

import json
from pathlib import Path
from typing import Any

import torch

from repvit_nas import files
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.comparing import Answering, Answers
from repvit_nas.export.maps import output_names
from repvit_nas.export.subject import Subject


def write_onnx(path: Path, fused: Any, subject: Subject, opset: int | None = None) -> Answering:
    """Export with torch's exporter, and return the form as onnxruntime runs its file.

    Args:
        path: The file.
        fused: The fused network.
        subject: What the file says of itself.
        opset: Of the file; None takes the exporter's own.

    Raises:
        RepvitNasError: A library is missing.
        FileError: The file cannot be written.
    """
    try:
        import onnxruntime

        from repvit_nas.conversion.onnx import exported_model
    except ImportError as error:
        raise RepvitNasError("--format onnx needs: pip install 'repvit-nas[onnx]'") from error
    side = subject.architecture.resolution
    model = exported_model(
        fused,
        torch.zeros(2, 3, side, side),
        names=("image", *output_names(subject.architecture)),
        opset=opset,
    )
    config = fused.pretrained_cfg
    preparation = {name: json.dumps(config[name]) for name in ("mean", "std")}
    for key, value in (subject.known | preparation).items():
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
