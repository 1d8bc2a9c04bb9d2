"""ML programs read back from a package, and run by torch: what can be checked without Apple's tools.

The package is read from its files alone. Every value is rounded to half precision, as the declared
types ask for; how the Neural Engine itself rounds, where it runs an operation and whether Apple's
compiler accepts the program cannot be seen here.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from repvit_nas import files
from repvit_nas.conversion.blobs import EXPANDED, Blobs, declared_shape, expanded
from repvit_nas.conversion.package import SPEC_PATH, WEIGHTS_PATH
from repvit_nas.errors import FileError

FUNCTION: Final = "main"
# The version of Core ML programs that iOS 16 introduced.
OPSET: Final = "CoreML6"
_PAD_TYPES: Final = ("custom", "valid")
_GELU: Final = {"EXACT": "none", "TANH_APPROXIMATION": "tanh"}


class MilOperation(NamedTuple):
    """One operation of a program.

    Attributes:
        type: Its name in MIL.
        arguments: Names of values by parameter; each parameter takes one.
        output: The name of the value it makes.
        shape: The declared shape of that.
        half: Whether that is declared as half precision.
    """

    type: str
    arguments: dict[str, str]
    output: str
    shape: tuple[int, ...]
    half: bool


class MilProgram(NamedTuple):
    """The main function of an ML program.

    Attributes:
        inputs: The shapes of what it takes, by name.
        outputs: The names of what it gives.
        operations: In order, constants left out.
        constants: Parameters of operations by name: numbers, strings, booleans, lists.
        weights: Arrays by name, half precision; those stored in fewer bits as they are expanded.
        bits: Of the weights that are stored in fewer than 16, by name.
    """

    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    operations: tuple[MilOperation, ...]
    constants: dict[str, Any]
    weights: dict[str, npt.NDArray[np.float16]]
    bits: Mapping[str, int] = MappingProxyType({})

    @property
    def types(self) -> tuple[str, ...]:
        """The names of the operations in order."""
        return tuple(operation.type for operation in self.operations)


def read_package(package: Path) -> MilProgram:
    """Read the program in an `.mlpackage`.

    Raises:
        FileError: It is missing, damaged, or no ML program for iOS 16.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from repvit_nas.conversion.converter import coremltools

    tools = coremltools()
    content = files.read_bytes(package / SPEC_PATH)
    model = tools.proto.Model_pb2.Model()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise FileError(f"{package}: {SPEC_PATH} is no Core ML model: {error}") from error
    function = model.mlProgram.functions.get(FUNCTION)
    if function is None or function.opset != OPSET:
        found = "no ML program" if function is None else function.opset
        raise FileError(f"{package}: must hold an ML program of opset {OPSET}; got {found}")
    block = function.block_specializations[OPSET]
    constants: dict[str, Any] = {}
    weights: dict[str, npt.NDArray[np.float16]] = {}
    bits: dict[str, int] = {}
    operations = []
    blobs = Blobs(package / WEIGHTS_PATH)
    for operation in block.operations:
        name = operation.outputs[0].name if operation.outputs else ""
        if operation.type in EXPANDED:
            weights[name], bits[name] = expanded(operation, blobs)
        elif operation.type == "const":
            value = operation.attributes["val"]
            if value.WhichOneof("value") == "blobFileValue":
                weights[name] = blobs.half(value)
                continue
            constant = _immediate(value)
            # Arrays of a few numbers are written into the program itself.
            (weights if isinstance(constant, np.ndarray) else constants)[name] = constant
        else:
            operations.append(_operation(operation))
    return MilProgram(
        inputs={item.name: declared_shape(item.type) for item in function.inputs},
        outputs=tuple(block.outputs),
        operations=tuple(operations),
        constants=constants,
        weights=weights,
        bits=bits,
    )


def _immediate(value: Any) -> Any:
    """Return a constant that is written into the program itself."""
    shape = declared_shape(value.type)
    tensor = value.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    if kind == "bytes":  # half precision
        halves = np.frombuffer(tensor.bytes.values, np.float16).copy()  # writable, as torch asks
        return halves.reshape(shape) if shape else float(halves[0])
    values = list(getattr(tensor, kind).values)
    return values if shape else values[0]


def _operation(operation: Any) -> MilOperation:
    from repvit_nas.conversion.converter import coremltools

    declared = operation.outputs[0]
    return MilOperation(
        type=operation.type,
        arguments={name: bound.arguments[0].name for name, bound in operation.inputs.items()},
        output=declared.name,
        shape=declared_shape(declared.type),
        half=declared.type.tensorType.dataType == coremltools().proto.MIL_pb2.DataType.FLOAT16,
    )


Arguments = Mapping[str, Any]


def _conv(given: Arguments) -> torch.Tensor:
    if given["pad_type"] not in _PAD_TYPES:
        raise FileError(f"pad_type must be one of {_PAD_TYPES}; got {given['pad_type']!r}")
    top, bottom, left, right = given["pad"] if given["pad_type"] == "custom" else (0, 0, 0, 0)
    return F.conv2d(
        F.pad(given["x"], (left, right, top, bottom)),
        given["weight"],
        given.get("bias"),
        stride=given["strides"],
        dilation=given["dilations"],
        groups=given["groups"],
    )


def _layer_norm(given: Arguments) -> torch.Tensor:
    if list(given["axes"]) != [-1]:
        raise FileError(f"layer_norm must be over the last axis; got {given['axes']}")
    scale = given["gamma"]
    return F.layer_norm(given["x"], scale.shape, scale, given["beta"], given["epsilon"])


def _upsample(given: Arguments) -> torch.Tensor:
    factors = (given["scale_factor_height"], given["scale_factor_width"])
    return F.interpolate(
        given["x"], scale_factor=factors, mode="bilinear", align_corners=given["align_corners"]
    )


def _batch_norm(given: Arguments) -> torch.Tensor:
    return F.batch_norm(
        given["x"],
        given["mean"],
        given["variance"],
        given.get("gamma"),
        given.get("beta"),
        eps=given["epsilon"],
    )


def _element(given: Arguments) -> torch.Tensor:
    """Return one element of a list of numbers."""
    if list(given["squeeze_mask"]) != [True]:
        raise FileError("slice_by_index is known of single elements only; got a part of an array")
    taken: torch.Tensor = given["x"][given["begin"][0]]
    return taken


_RUN: Final[dict[str, Callable[[Arguments], torch.Tensor]]] = {
    "conv": _conv,
    "linear": lambda given: F.linear(given["x"], given["weight"], given.get("bias")),
    "gelu": lambda given: F.gelu(given["x"], approximate=_GELU[given["mode"]]),
    "relu": lambda given: F.relu(given["x"]),
    "sigmoid": lambda given: torch.sigmoid(given["x"]),
    "add": lambda given: given["x"] + given["y"],
    "mul": lambda given: given["x"] * given["y"],
    "reduce_mean": lambda given: given["x"].mean(given["axes"], keepdim=given["keep_dims"]),
    "transpose": lambda given: given["x"].permute(given["perm"]),
    "layer_norm": _layer_norm,
    "upsample_bilinear": _upsample,
    "batch_norm": _batch_norm,
    "cast": lambda given: given["x"].float(),
    "less": lambda given: given["x"] < given["y"],
    "slice_by_index": _element,
}
# What makes truth values, not numbers.
_BOOLEAN: Final = ("less",)


def run(
    program: MilProgram, taken: npt.NDArray[np.float32], negated: Sequence[str] = ()
) -> npt.NDArray[np.float32]:
    """Run a program with one input and one output, every value rounded to half precision.

    Args:
        program: The program.
        taken: What it takes; rounded to half precision first.
        negated: Weights whose sign is turned: what a check must notice.

    Raises:
        FileError: It holds an operation that is not known here, or one whose result is not of the
            declared shape and precision.
    """
    (wanted,) = program.outputs
    (name,) = program.inputs
    return run_named(program, {name: taken}, negated)[wanted]


def run_named(
    program: MilProgram,
    taken: Mapping[str, npt.NDArray[np.float32]],
    negated: Sequence[str] = (),
) -> dict[str, npt.NDArray[np.float32]]:
    """Run a program, every value rounded to half precision; returns its outputs by name.

    Args:
        program: The program.
        taken: What it takes, by name; rounded to half precision first.
        negated: See :func:`run`.

    Raises:
        FileError: See :func:`run`.
    """
    values = _start(program, taken, negated)
    _advance(program.operations, values)
    return {name: np.asarray(values[name].numpy()) for name in program.outputs}


def run_parts(
    program: MilProgram,
    taken: Sequence[npt.NDArray[np.float32]],
    lengths: Sequence[int],
    negated: Sequence[str] = (),
) -> list[npt.NDArray[np.float32]]:
    """Run a program part by part, each on what it should take, so that errors do not add up.

    Args:
        program: The program.
        taken: What each part takes; the place of what the part before it made.
        lengths: How many operations each part has.
        negated: See :func:`run`.

    Returns:
        What each part made.

    Raises:
        FileError: See :func:`run`.
    """
    (name,) = program.inputs
    values = _start(program, {name: taken[0]}, negated)
    made, begin = [], 0
    for place, length in enumerate(lengths):
        part = program.operations[begin : begin + length]
        begin += length
        _advance(part, values)
        made.append(np.asarray(values[part[-1].output].numpy()))
        for operation in part[:-1]:
            del values[operation.output]  # later parts take the last one only
        if place + 1 < len(lengths):
            values[part[-1].output] = _rounded(torch.from_numpy(taken[place + 1]))
    return made


def _start(
    program: MilProgram, taken: Mapping[str, npt.NDArray[np.float32]], negated: Sequence[str]
) -> dict[str, Any]:
    """Return the values that are there before the first operation."""
    values: dict[str, Any] = dict(program.constants)
    for weight, content in program.weights.items():
        # In half precision until they are used: in single they would be twice the package.
        values[weight] = torch.from_numpy(-content if weight in negated else content)
    for name in program.inputs:
        values[name] = _rounded(torch.from_numpy(taken[name]))
    return values


def _advance(operations: Sequence[MilOperation], values: dict[str, Any]) -> None:
    with torch.inference_mode():
        for operation in operations:
            if operation.type not in _RUN:
                raise FileError(
                    f"operation {operation.type!r} of {operation.output} is not known; known: "
                    f"{', '.join(_RUN)}"
                )
            given = {name: _single(values[at]) for name, at in operation.arguments.items()}
            made = _RUN[operation.type](given)
            half = operation.half or operation.type in _BOOLEAN
            if tuple(made.shape) != operation.shape or not half:
                raise FileError(
                    f"{operation.type} {operation.output} must make half precision of shape "
                    f"{operation.shape}; got {tuple(made.shape)}, half precision: {operation.half}"
                )
            values[operation.output] = _rounded(made)


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) else value


def _rounded(value: torch.Tensor) -> torch.Tensor:
    return value.to(torch.float16).to(torch.float32)
