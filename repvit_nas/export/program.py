"""What all Core ML packages of a network share: preprocessing, and that the weights are the network's."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import torch
from torch import nn

from repvit_nas.conversion.compression import compressed
from repvit_nas.conversion.converter import save
from repvit_nas.conversion.mil import MilProgram, read_package
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.comparing import Answers, agreement
from repvit_nas.export.records import FewerBits, Form, form_digest
from repvit_nas.export.stored import check_stored, half_bytes, holding
from repvit_nas.export.subject import Subject
from repvit_nas.operations import HALF

# What Core ML may be made of besides the operations of a fused network.
_OPERATIONS: Final = frozenset(
    (
        *("conv", "gelu", "add", "reduce_mean", "relu", "sigmoid", "mul", "linear"),
        *("cast", "batch_norm", "softmax", "classify"),
        *("transpose", "layer_norm", "upsample_bilinear", "less", "slice_by_index"),
    )
)

_LEAST_NORMAL: Final = 2.0**-14
# Half precision, as a relative root mean square of probabilities or of a map.
COREML_TOLERANCE: Final = 1e-2


class Preparation(nn.Module):
    """What makes a network's input of pictures.

    Args:
        mean: What is taken from each channel, from 0 to 1.
        std: What each channel is divided by then.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", (1 / (255 * std)).view(1, -1, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, -1, 1, 1))

    @classmethod
    def of(cls, model: Any) -> "Preparation":
        """Return how a network's images are prepared."""
        mean, std = (torch.tensor(model.pretrained_cfg[name]) for name in ("mean", "std"))
        return cls(mean, std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return prepared images of pictures whose channels go from 0 to 255."""
        return x * self.scale + self.shift

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pictures that prepared images come from, in whole numbers from 0 to 255."""
        return ((images - self.shift) / self.scale).round().clamp(0, 255)


def package_bytes(package: Path) -> int:
    """Return the bytes of a package's files."""
    return sum(path.stat().st_size for path in package.rglob("*") if path.is_file())


def form_name(bits: int) -> str:
    """Return what the Core ML form is called whose weights have so many bits."""
    return "coreml" if bits == HALF else f"coreml-w{bits}"


class Written(NamedTuple):
    """A package as it was read back.

    Attributes:
        program: What it holds.
        network: The fused network with the weights that it stores.
    """

    program: MilProgram
    network: nn.Module

    @property
    def operations(self) -> dict[str, int]:
        """How often each operation occurs in the program."""
        return dict(sorted(Counter(self.program.types).items()))


def write_package(
    model: Any, package: Path, fused: nn.Module, subject: Subject, bits: int
) -> Written:
    """Write a converted network, read it back, and compare operations and weights.

    Args:
        model: What the converter made, in half precision.
        package: Where it is written.
        fused: The fused network.
        subject: What the package says of itself.
        bits: Of a stored weight.

    Raises:
        RepvitNasError: The program has other operations or weights than the network.
        FileError: It cannot be written.
    """
    known = subject.known if bits == HALF else {**subject.known, "weights": f"{bits} bits"}
    save(
        model if bits == HALF else compressed(model, bits),
        package,
        title=subject.title,
        known={f"repvit_nas.{key}": value for key, value in known.items()},
    )
    program = read_package(package)
    if bits == HALF:
        check_program(program, fused, Counter(program.types))
        return Written(program, fused)
    half = read_package(Path(model.package_path))
    check_program(half, fused, Counter(half.types))
    check_stored(half, program, bits)
    return Written(program, holding(fused, half, program))


def compared_form(
    written: Written,
    package: Path,
    bits: int,
    *,
    found: Answers,
    expected: Answers,
    before: Answers,
    ran: str,
) -> Form:
    """Return the form that a package is, compared with the network that it holds.

    Args:
        written: The package as it was read back.
        package: Where it is.
        bits: Of a stored weight.
        found: Its answers.
        expected: Those of the network with the weights that it stores.
        before: Those of the training form.
        ran: What ran it.

    Raises:
        RepvitNasError: They are further apart than half precision makes them.
    """
    form = Form(
        name=form_name(bits),
        file=package.name,
        digest=form_digest(package),
        size_bytes=package_bytes(package),
        error=_apart(found, expected),
        allowed=COREML_TOLERANCE,
        agreement=100 * agreement(found, before),
        images=len(found[0]),
        ran=ran,
        fewer_bits=_fewer_bits(written.program, bits, _apart(found, before)),
    )
    if not form.error <= form.allowed:  # a nan is refused too
        raise RepvitNasError(
            f"{package.name}: differs from the training form by {form.error:.1e}; at most "
            f"{form.allowed:.0e} is half precision: do not use it"
        )
    return form


def _apart(found: Answers, expected: Answers) -> float:
    """Return the relative root mean square of the answer that is furthest off."""
    errors = [
        np.sqrt(np.square(one - other).mean() / np.square(other).mean())
        for one, other in zip(found, expected, strict=True)
    ]
    return float(np.max(errors))


def _fewer_bits(program: MilProgram, bits: int, change: float) -> FewerBits | None:
    """Return what weights of fewer bits change, if they have fewer."""
    if bits == HALF:
        return None
    sizes = {name: values.size for name, values in program.weights.items()}
    stored = 100 * sum(sizes[name] for name in program.bits) / sum(sizes.values())
    return msgspec.convert({"bits": bits, "stored": stored, "change": change}, FewerBits)


def check_program(program: Any, fused: nn.Module, operations: Mapping[str, int]) -> None:
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
