"""A trained network as a Core ML classifier: a picture goes in, a class and probabilities come out."""

import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import nn

from repvit_nas.conversion.compression import compressed
from repvit_nas.conversion.converter import converted, coremltools, save
from repvit_nas.conversion.mil import MilProgram, read_package, run
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.comparing import Scoring, torch_scores
from repvit_nas.export.records import FewerBits, Form, form_digest
from repvit_nas.export.stored import check_stored, half_bytes, holding
from repvit_nas.export.subject import Subject
from repvit_nas.operations import HALF
from repvit_nas.shapes import Singles

# Half precision, as a relative root mean square of the probabilities.
COREML_TOLERANCE: Final = 1e-2
# On how many images a program is compared; interpreted, each takes a while.
INTERPRETED: Final = 64
# What Core ML may be made of besides the operations of a fused network.
_OPERATIONS: Final = frozenset(
    (
        *("conv", "gelu", "add", "reduce_mean", "relu", "sigmoid", "mul", "linear"),
        *("cast", "batch_norm", "softmax", "classify"),
    )
)

_LEAST_NORMAL: Final = 2.0**-14


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


def image_limit(asked: int | None) -> int | None:
    """Return on how many images a program is compared: on all that were asked for, on a Mac."""
    return asked if asked is not None or platform.system() == "Darwin" else INTERPRETED


def core_ml_form(
    package: Path,
    fused: Any,
    subject: Subject,
    *,
    images: torch.Tensor,
    scores: Scoring,
    bits: int = HALF,
) -> tuple[Form, dict[str, int], nn.Module]:
    """Convert to a half-precision ML program, and compare it with the training form.

    With weights of fewer bits it is compared with the fused network that has the weights which the
    package stores: what storing them changes is another question, and answered beside it.

    Args:
        package: Where it is written.
        fused: The fused network.
        subject: What the package says of itself.
        images: Prepared images to compare on.
        scores: The training form's, of prepared images.
        bits: Of a stored weight.

    Returns:
        The form, how often each operation occurs in it, and the network that it holds.

    Raises:
        RepvitNasError: The program has other operations or weights than the network, or other answers.
        FileError: It cannot be written.
    """
    side = subject.architecture.resolution
    mean, std = (torch.tensor(fused.pretrained_cfg[name]) for name in ("mean", "std"))
    model = _converted(_Classifier(fused, mean, std), side, subject.classes)
    known = subject.known if bits == HALF else {**subject.known, "weights": f"{bits} bits"}
    save(
        model if bits == HALF else compressed(model, bits),
        package,
        title=subject.title,
        known={f"repvit_nas.{key}": value for key, value in known.items()},
    )
    program = read_package(package)
    operations = Counter(program.types)
    if bits == HALF:
        _check_program(program, fused, operations)
        held = fused
    else:
        half = read_package(Path(model.package_path))
        _check_program(half, fused, operations)
        check_stored(half, program, bits)
        held = holding(fused, half, program)
    pixels = (images * std.view(-1, 1, 1) + mean.view(-1, 1, 1)) * 255
    pixels = pixels.round().clamp(0, 255)
    prepared = (pixels / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    before = torch.from_numpy(scores(prepared)).softmax(1).numpy()
    expected = before if bits == HALF else _probabilities(held, prepared)
    if platform.system() == "Darwin":
        found, ran = _by_core_ml(package, pixels, subject.classes), "Core ML"
    else:
        found, ran = interpreted(program, pixels), "interpreter in half precision"
    form = Form(
        name=form_name(bits),
        file=package.name,
        digest=form_digest(package),
        size_bytes=sum(path.stat().st_size for path in package.rglob("*") if path.is_file()),
        error=_relative(found, expected),
        allowed=COREML_TOLERANCE,
        agreement=100 * float((found.argmax(1) == before.argmax(1)).mean()),
        images=len(found),
        ran=ran,
        fewer_bits=None if bits == HALF else _fewer(program, bits, _relative(found, before)),
    )
    if not form.error <= form.allowed:  # a nan is refused too
        raise RepvitNasError(
            f"{package.name}: differs from the training form by {form.error:.1e}; at most "
            f"{form.allowed:.0e} is half precision: do not use it"
        )
    return form, dict(sorted(operations.items())), held


def form_name(bits: int) -> str:
    """Return what the Core ML form is called whose weights have so many bits."""
    return "coreml" if bits == HALF else f"coreml-w{bits}"


def _fewer(program: MilProgram, bits: int, change: float) -> FewerBits:
    sizes = {name: values.size for name, values in program.weights.items()}
    stored = 100 * sum(sizes[name] for name in program.bits) / sum(sizes.values())
    return msgspec.convert({"bits": bits, "stored": stored, "change": change}, FewerBits)


def _probabilities(network: nn.Module, prepared: torch.Tensor) -> Singles:
    return np.asarray(torch.from_numpy(torch_scores(network, prepared)).softmax(1).numpy())


def _relative(found: Singles, expected: Singles) -> float:
    return float(np.sqrt(np.square(found - expected).mean() / np.square(expected).mean()))


def _converted(classifier: nn.Module, side: int, classes: tuple[str, ...]) -> Any:
    tools: Any = coremltools()
    shape = (1, 3, side, side)
    picture = tools.ImageType(name="image", shape=shape, color_layout=tools.colorlayout.RGB)
    return converted(
        classifier.eval(),
        shape,
        inputs=[picture],
        classifier_config=tools.ClassifierConfig(list(classes)),
    )


def _check_program(program: Any, fused: nn.Module, operations: Mapping[str, int]) -> None:
    """Compare a program's operations and weights with the fused network's.

    Raises:
        RepvitNasError: It has other operations, or a weight that is not the rounded original.
    """
    strange = sorted(set(operations) - _OPERATIONS)
    if strange:
        raise RepvitNasError(
            f"the Core ML program holds the operation {strange[0]!r}, which is not ours"
        )
    ours = [layer for layer in fused.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    count = operations.get("conv", 0) + operations.get("linear", 0)
    if count != len(ours):
        raise RepvitNasError(
            f"the Core ML program has {count} convolutions and linear layers, the network {len(ours)}"
        )
    expected = Counter(half_bytes(layer.weight.detach().numpy()) for layer in ours)
    found = Counter(
        half_bytes(program.weights[operation.arguments["weight"]])
        for operation in program.operations
        if operation.type in {"conv", "linear"}
    )
    if expected != found:
        changed = sum((expected - found).values())
        raise RepvitNasError(
            f"the Core ML program: the weights of {changed} of {len(ours)} layers are not those of the "
            "network rounded to half precision"
        )
    biases = {half_bytes(layer.weight.detach().numpy()): layer.bias for layer in ours}
    changed = sum(
        not _same_bias(program, operation, biases)
        for operation in program.operations
        if operation.type in {"conv", "linear"}
    )
    if changed:
        raise RepvitNasError(
            f"the Core ML program: the biases of {changed} of {len(ours)} layers are not those of "
            "the network rounded to half precision"
        )


def _same_bias(program: Any, operation: Any, biases: Mapping[Any, torch.Tensor | None]) -> bool:
    """Tell whether an operation's bias is that of the layer with the same weights."""
    bias = biases[half_bytes(program.weights[operation.arguments["weight"]])]
    stored = program.weights.get(operation.arguments.get("bias", ""))
    if bias is None or stored is None:
        return (bias is None) == (stored is None)
    rounded = bias.detach().numpy().astype(np.float16).astype(np.float32)
    # The converter writes zeros for what half precision has no normal number for.
    return bool(np.abs(stored.astype(np.float32) - rounded).max() <= _LEAST_NORMAL)


def interpreted(program: Any, pixels: torch.Tensor) -> Singles:
    """Return the probabilities that a classifier program gives, run in half precision by torch.

    Args:
        program: From :func:`repvit_nas.conversion.mil.read_package`.
        pixels: `(images, 3, side, side)`, from 0 to 255.
    """
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
    raise RepvitNasError(f"the Core ML program holds {operation.type!r} before the network")


def _by_core_ml(package: Path, pixels: torch.Tensor, classes: tuple[str, ...]) -> Singles:
    """Return the probabilities that Core ML itself gives, on a Mac."""
    from PIL import Image

    model = coremltools().models.MLModel(str(package))
    rows = []
    for image in pixels:
        picture = Image.fromarray(image.permute(1, 2, 0).to(torch.uint8).numpy())
        answer = model.predict({"image": picture})
        (found,) = [value for value in answer.values() if isinstance(value, dict)]
        rows.append([found[name] for name in classes])
    return np.array(rows, dtype=np.float32)
