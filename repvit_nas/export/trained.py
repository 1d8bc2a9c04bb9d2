"""A trained network in every form that runs: fused, ONNX and Core ML, each read back and compared.

The training form of the run's folder is what all others are compared with, on validation images.
"""

import json
import logging
import platform
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.network import load, reparameterize
from repvit_nas.training.checkpoint import read_tensors, write_tensors
from repvit_nas.training.loading import World, val_batches
from repvit_nas.training.records import WEIGHTS_FILE, TrainFile, finished

EXPORT_FILE: Final = "export.json"
FUSED_FILE: Final = "fused.safetensors"
ONNX_FILE: Final = "model.onnx"
COREML_FILE: Final = "model.mlpackage"
FORMATS: Final = ("onnx", "coreml")
# The largest difference of a score from the training form's, relative to the largest score.
FUSED_TOLERANCE: Final = 1e-5
ONNX_TOLERANCE: Final = 1e-4
# Half precision, as a relative root mean square of the probabilities.
COREML_TOLERANCE: Final = 1e-2
# What Core ML may be made of besides the operations of a fused network.
_COREML_OPERATIONS: Final = frozenset(
    (
        *("conv", "gelu", "add", "reduce_mean", "relu", "sigmoid", "mul", "linear"),
        *("cast", "batch_norm", "softmax", "classify"),
    )
)
_INTERPRETED_IMAGES: Final = 16
_BATCH: Final = 64
_ROUNDS: Final = 15

Floats = npt.NDArray[np.float32]


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One form of a network, read back from its file.

    Attributes:
        name: `fused`, `onnx` or `coreml`.
        file: Where it is in the run's folder.
        digest: Of its files.
        size_bytes: Of them.
        error: How far its answers are from the training form's.
        allowed: How far they may be.
        agreement: Percent of the images on which both choose the same class.
        images: How many images that is of.
        ran: What ran it: torch, onnxruntime, Core ML, or an interpreter of the ML program.
    """

    name: str
    file: str
    digest: str
    size_bytes: int
    error: float
    allowed: float
    agreement: float
    images: int
    ran: str


class ExportRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `export.json` (schema 1).

    Attributes:
        digest: Of the weights that were exported.
        forms: What was made of them.
        operations: How often each operation occurs in the Core ML program.
        unfused_ms: Latency of the training form for one image, by torch on one thread here.
        fused_ms: The same of the fused form.
    """

    schema: Literal[1] = 1
    digest: str
    forms: tuple[Form, ...]
    operations: dict[str, int] = msgspec.field(default_factory=dict)
    unfused_ms: float
    fused_ms: float


class Answers(NamedTuple):
    """Images, prepared for the network, and the scores that its training form gives them."""

    images: torch.Tensor
    scores: Floats


def form_digest(path: Path) -> str:
    """Return the digest of a form's file, or of all files of its folder; empty if it is missing.

    Raises:
        FileError: It cannot be read.
    """
    if not path.exists():
        return ""
    inner = sorted(each for each in path.rglob("*") if each.is_file())
    try:
        return files.digest(*(each.read_bytes() for each in inner or [path]))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error


def weights_digest(folder: Path) -> str:
    """Return the digest of a run's weights."""
    try:
        return files.digest((folder / WEIGHTS_FILE).read_bytes())
    except OSError as error:
        raise FileError(f"{folder / WEIGHTS_FILE}: cannot be read: {error.strerror}") from error


def export_run(
    folder: Path, formats: Iterable[str], *, limit: int | None = None, images: Any = None
) -> ExportRecord:
    """Write a run's network in other forms into its folder, read each back and compare it.

    Args:
        folder: A finished training run.
        formats: Among `onnx` and `coreml`; the fused form is always made.
        limit: Validation images to compare on; None for all.
        images: The validation images, where they are open already.

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
    model = load(folder)
    fused = reparameterize(model)
    answers = _answers(model, record, limit, images)
    digest = weights_digest(folder)
    forms = [_fused(folder, model, fused, answers)]
    operations: dict[str, int] = {}
    if "onnx" in wanted:
        forms.append(_onnx(folder, fused, record, answers, digest))
    if "coreml" in wanted:
        form, operations = _coreml(folder, fused, record, answers, digest)
        forms.append(form)
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


def _answers(model: nn.Module, record: TrainFile, limit: int | None, images: Any) -> Answers:
    """Return validation images as the network takes them, and its scores of them."""
    from repvit_nas.training.data import open_data

    asked = record.asked
    resolution = asked.architecture.resolution
    val = images if images is not None else open_data(asked.data, resolution).val
    loader = val_batches(
        val,
        asked.recipe,
        resolution,
        world=World(),
        device=torch.device("cpu"),
        workers=0,
        batch=_BATCH,
    )
    kept, scores, count = [], [], 0
    for batch, _ in loader:
        taken = batch if limit is None else batch[: limit - count]
        kept.append(taken.clone())
        scores.append(_scores(model, taken))
        count += len(taken)
        if limit is not None and count >= limit:
            break
    return Answers(torch.cat(kept), np.concatenate(scores))


def _parts(images: torch.Tensor) -> list[torch.Tensor]:
    return [images[begin : begin + _BATCH] for begin in range(0, len(images), _BATCH)]


def _scores(model: nn.Module, images: torch.Tensor) -> Floats:
    with torch.inference_mode():
        scores: Floats = np.concatenate([model(part).numpy() for part in _parts(images)])
    return scores


def _error(found: Floats, expected: Floats) -> float:
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-12))


def _agreement(found: Floats, expected: Floats) -> float:
    return 100 * float((found.argmax(1) == expected.argmax(1)).mean())


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


def _fused(folder: Path, model: nn.Module, fused: nn.Module, answers: Answers) -> Form:
    write_tensors(folder / FUSED_FILE, fused.state_dict())
    again = reparameterize(model)
    for value in again.state_dict().values():
        value.zero_()  # what is compared comes from the file
    again.load_state_dict(read_tensors(folder / FUSED_FILE))
    found = _scores(again, answers.images)
    return _checked(
        Form(
            name="fused",
            file=FUSED_FILE,
            digest=form_digest(folder / FUSED_FILE),
            size_bytes=(folder / FUSED_FILE).stat().st_size,
            error=_error(found, answers.scores),
            allowed=FUSED_TOLERANCE,
            agreement=_agreement(found, answers.scores),
            images=len(found),
            ran="torch",
        )
    )


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


def _onnx(folder: Path, fused: nn.Module, record: TrainFile, answers: Answers, digest: str) -> Form:
    """Export with torch's exporter, for any number of images; preprocessing stays outside."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RepvitNasError("--format onnx needs: pip install 'repvit-nas[onnx]'") from error
    model = _onnx_model(fused, record.asked.architecture.resolution)
    for key, value in (metadata(record, digest) | _preparation(fused)).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    files.write_bytes(folder / ONNX_FILE, model.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / ONNX_FILE), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    parts = _parts(answers.images)
    found = np.concatenate([session.run(None, {name: part.numpy()})[0] for part in parts])
    return _checked(
        Form(
            name="onnx",
            file=ONNX_FILE,
            digest=form_digest(folder / ONNX_FILE),
            size_bytes=(folder / ONNX_FILE).stat().st_size,
            error=_error(found, answers.scores),
            allowed=ONNX_TOLERANCE,
            agreement=_agreement(found, answers.scores),
            images=len(found),
            ran=f"onnxruntime {onnxruntime.__version__}",
        )
    )


def _onnx_model(fused: nn.Module, resolution: int) -> Any:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The exporter's own warnings, about torch's internals, change with its version.
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                fused,
                (torch.zeros(2, 3, resolution, resolution),),
                input_names=["image"],
                output_names=["scores"],
                dynamic_shapes={"x": {0: torch.export.Dim("images")}},
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    if exported is None:
        raise RepvitNasError("torch's exporter returned nothing; update torch and onnxscript")
    return exported.model_proto


def _preparation(model: Any) -> dict[str, str]:
    config = model.pretrained_cfg
    return {"mean": json.dumps(config["mean"]), "std": json.dumps(config["std"])}


class _Classifier(nn.Module):
    """A network with its preprocessing in front and probabilities behind.

    Args:
        network: Takes prepared images.
        mean: What is taken from each channel, from 0 to 1.
        std: What each channel is divided by then.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, network: nn.Module, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scale", (1 / (255 * std)).view(1, -1, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return probabilities of images whose channels go from 0 to 255."""
        probabilities: torch.Tensor = self.network(x * self.scale + self.shift).softmax(1)
        return probabilities


def _coreml(
    folder: Path, fused: Any, record: TrainFile, answers: Answers, digest: str
) -> tuple[Form, dict[str, int]]:
    """Convert to a half-precision ML program that takes a picture and names a class."""
    import shutil

    from repvit_nas.export.coreml import coremltools
    from repvit_nas.export.mil import read_package

    tools: Any = coremltools()
    mean, std = (torch.tensor(fused.pretrained_cfg[name]) for name in ("mean", "std"))
    side = record.asked.architecture.resolution
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of tracing
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            _Classifier(fused, mean, std).eval(), torch.zeros(1, 3, side, side), check_trace=False
        )
        model = tools.convert(
            traced,
            inputs=[
                tools.ImageType(
                    name="image", shape=(1, 3, side, side), color_layout=tools.colorlayout.RGB
                )
            ],
            classifier_config=tools.ClassifierConfig(list(record.classes)),
            convert_to="mlprogram",
            minimum_deployment_target=tools.target.iOS16,
            compute_precision=tools.precision.FLOAT16,
            skip_model_load=platform.system() != "Darwin",
        )
    model.short_description = (
        f"{record.asked.architecture.name} trained on {record.asked.data.name}"
    )
    for key, value in metadata(record, digest).items():
        model.user_defined_metadata[f"repvit_nas.{key}"] = value
    package = folder / COREML_FILE
    shutil.rmtree(package, ignore_errors=True)
    try:
        model.save(str(package))
    except OSError as error:
        raise FileError(f"{package}: cannot be written: {error.strerror or error}") from error
    program = read_package(package)
    operations = Counter(program.types)
    _check_program(program, fused, operations)
    pixels = (answers.images[:_INTERPRETED_IMAGES] * std.view(-1, 1, 1) + mean.view(-1, 1, 1)) * 255
    pixels = pixels.round().clamp(0, 255)
    prepared = (pixels / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    expected = torch.from_numpy(_scores(fused, prepared)).softmax(1).numpy()
    if platform.system() == "Darwin":
        found, ran = _by_core_ml(package, pixels, record.classes), "Core ML"
    else:
        found, ran = interpreted(program, pixels), "interpreter in half precision"
    difference = float(np.sqrt(np.square(found - expected).mean() / np.square(expected).mean()))
    form = Form(
        name="coreml",
        file=COREML_FILE,
        digest=form_digest(package),
        size_bytes=sum(path.stat().st_size for path in package.rglob("*") if path.is_file()),
        error=difference,
        allowed=COREML_TOLERANCE,
        agreement=_agreement(found, expected),
        images=len(found),
        ran=ran,
    )
    return _checked(form), dict(sorted(operations.items()))


def _check_program(program: Any, fused: nn.Module, operations: Mapping[str, int]) -> None:
    """Compare a program's operations and weights with the fused network's.

    Raises:
        RepvitNasError: It has other operations, or a weight that is not the rounded original.
    """
    strange = sorted(set(operations) - _COREML_OPERATIONS)
    if strange:
        raise RepvitNasError(
            f"{COREML_FILE}: holds the operation {strange[0]!r}, which is not ours"
        )
    ours = [layer for layer in fused.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    count = operations.get("conv", 0) + operations.get("linear", 0)
    if count != len(ours):
        raise RepvitNasError(
            f"{COREML_FILE}: has {count} convolutions and linear layers, the network {len(ours)}"
        )
    expected = Counter(_half_bytes(layer.weight.detach().numpy()) for layer in ours)
    found = Counter(
        _half_bytes(program.weights[operation.arguments["weight"]])
        for operation in program.operations
        if operation.type in {"conv", "linear"}
    )
    if expected != found:
        changed = sum((expected - found).values())
        raise RepvitNasError(
            f"{COREML_FILE}: the weights of {changed} of {len(ours)} layers are not those of the "
            "network rounded to half precision"
        )


def _half_bytes(values: npt.NDArray[Any]) -> tuple[tuple[int, ...], bytes]:
    return values.shape, values.astype(np.float16).tobytes()


def interpreted(program: Any, pixels: torch.Tensor) -> Floats:
    """Return the probabilities that a classifier program gives, run in half precision by torch.

    Args:
        program: From :func:`repvit_nas.export.mil.read_package`.
        pixels: `(images, 3, side, side)`, from 0 to 255.
    """
    from repvit_nas.export.mil import run

    operations = program.operations
    first = next(i for i, each in enumerate(operations) if each.type == "conv")
    last = next(i for i, each in enumerate(operations) if each.type == "softmax")
    taken = operations[first].arguments["x"]
    core = program._replace(
        inputs={taken: tuple(pixels.shape[1:])},
        outputs=(operations[last].arguments["x"],),
        operations=operations[first:last],
    )
    rows = []
    for image in pixels[:, None]:
        value = image
        for operation in operations[:first]:
            value = _prepared(program, operation, value)
        scores = torch.from_numpy(run(core, value.numpy()))
        rows.append(scores.softmax(1).half().float().numpy())
    return np.concatenate(rows)


def _prepared(program: Any, operation: Any, value: torch.Tensor) -> torch.Tensor:
    """Run one operation of the preprocessing."""
    known = {
        name: torch.from_numpy(program.weights[source].astype(np.float32))
        for name, source in operation.arguments.items()
        if source in program.weights
    }
    if operation.type == "cast":
        return value.half().float()
    if operation.type == "batch_norm":
        epsilon = float(program.constants[operation.arguments["epsilon"]])
        value = nn.functional.batch_norm(
            value,
            known["mean"],
            known["variance"],
            known.get("gamma"),
            known.get("beta"),
            eps=epsilon,
        )
        return value.half().float()
    raise RepvitNasError(f"{COREML_FILE}: holds {operation.type!r} before the network")


def _by_core_ml(package: Path, pixels: torch.Tensor, classes: tuple[str, ...]) -> Floats:
    """Return the probabilities that Core ML itself gives, on a Mac."""
    from PIL import Image

    from repvit_nas.export.coreml import coremltools

    model = coremltools().models.MLModel(str(package))
    rows = []
    for image in pixels:
        picture = Image.fromarray(image.permute(1, 2, 0).to(torch.uint8).numpy())
        answer = model.predict({"image": picture})
        (found,) = [value for value in answer.values() if isinstance(value, dict)]
        rows.append([found[name] for name in classes])
    return np.array(rows, dtype=np.float32)


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


def read_export(folder: Path) -> ExportRecord | None:
    """Read what was exported of a run, if anything was."""
    path = folder / EXPORT_FILE
    return files.read_json(path, ExportRecord) if path.is_file() else None
