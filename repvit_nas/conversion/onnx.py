"""Programs of units as ONNX models, from graphs that torch's own exporter made.

The exporter takes a second a call, and a session needs thousands of units. Units of one structure
(a block with SE and kernel 3, say) differ in shapes only, and an exported graph holds no shape but
those of its weights and the group count of depthwise convolutions. So one unit of each structure
is exported; the others are its graph with their own weights. `check` compares any of them with
torch.
"""

import functools
import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper
from torch import nn

from repvit_nas.errors import RepvitNasError
from repvit_nas.necks import FusedNeck, Neck, Widen
from repvit_nas.network.pieces import UnitWeights, fused_module, input_shape, random_weights
from repvit_nas.path_units import ConvGelu, GatedDownsample, Inverted, PathUnit, Separated, WideHead
from repvit_nas.units import Block, Downsample, Features, Ffn, Foreign, Head, Stem, Unit, tapped

INPUT: Final = "image"
OUTPUT: Final = "output"
# Single precision, another order of summation.
TOLERANCE: Final = 1e-4
# The oldest opset that torch's exporter of today makes; the one before it makes older ones.
_OLDEST_OF_EXPORTER: Final = 18


class ProgramModel(NamedTuple):
    """A model whose weights are kept beside it, so that none is copied on the way to a runtime.

    Attributes:
        model: The graph; its weights are declared as external.
        weights: Their values by name.
    """

    model: onnx.ModelProto
    weights: UnitWeights


def program_model(
    units: Sequence[Unit], weights: Sequence[UnitWeights], batch: int = 1
) -> ProgramModel:
    """Return the model that runs `units` one after the other.

    Args:
        units: Each takes what the one before it returns, but for maps that are handed back.
        weights: The fused weights of each unit but for those, see :func:`random_weights`.
        batch: Images in one call.
    """
    nodes, declared, values, arrives = [], [], {}, INPUT
    chain, places = tapped(units)
    for place, (unit, own) in enumerate(zip(chain, weights, strict=True)):
        graph = _template(_representative(unit)).graph
        leaves = OUTPUT if place == len(chain) - 1 else f"{place}/out"
        names = {graph.input[0].name: arrives, graph.output[0].name: leaves}
        for constant in graph.initializer:
            name = f"{place}/{constant.name}"
            declared.append(onnx.TensorProto())
            if constant.name in own:
                values[name] = own[constant.name]
                _declare(declared[-1], name, own[constant.name].shape)
            else:
                declared[-1].CopyFrom(constant)
                declared[-1].name = name
        for node in graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{place}/{node.name}"
            for field in (copy.input, copy.output):
                field[:] = [names.get(name) or f"{place}/{name}" for name in field]
            if node.op_type == "Conv":
                _set_groups(copy, own[node.input[1]])
            nodes.append(copy)
        arrives = leaves
    taken = helper.make_tensor_value_info(
        INPUT, onnx.TensorProto.FLOAT, [batch, *input_shape(units[0])]
    )
    outputs = [OUTPUT if place == len(chain) - 1 else f"{place}/out" for place in places]
    given = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "program", [taken], given, declared)
    source = _template(_representative(units[0]))
    model = helper.make_model(
        graph, opset_imports=source.opset_import, ir_version=source.ir_version
    )
    return ProgramModel(model, values)


def _declare(tensor: onnx.TensorProto, name: str, shape: tuple[int, ...]) -> None:
    """Declare a single-precision tensor whose values are kept elsewhere."""
    tensor.name = name
    tensor.data_type = onnx.TensorProto.FLOAT
    tensor.dims[:] = shape
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "memory"


def check(
    unit: Unit,
    produced: npt.NDArray[np.float32],
    taken: npt.NDArray[np.float32],
    weights: UnitWeights,
) -> None:
    """Compare what a runtime made of a unit with torch.

    Raises:
        RepvitNasError: They differ by more than rounding.
    """
    with torch.inference_mode():
        expected = fused_module(unit, weights)(torch.from_numpy(taken)).numpy()
    error = float(np.abs(produced - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    if not error <= TOLERANCE:
        raise RepvitNasError(
            f"the exported {unit} differs from torch by {error:.1e}; at most {TOLERANCE:.0e} is "
            "rounding: this runtime or exporter version cannot be trusted"
        )


def _set_groups(node: onnx.NodeProto, weight: npt.NDArray[np.float32]) -> None:
    """Give a depthwise convolution as many groups as it has channels."""
    for attribute in node.attribute:
        if attribute.name == "group" and attribute.i > 1:
            attribute.i = weight.shape[0]


def _representative(unit: Unit) -> Unit:
    """Return the small unit of the same structure whose graph is exported."""
    match unit:
        case Stem(c_in=channels):
            return Stem(16, 16, channels)
        case Block(se=se, kernel=kernel):
            return Block(16, 32, 8 if se else 0, kernel, 8)
        case Downsample(kernel=kernel) | Widen(kernel=kernel):
            return type(unit)(16, 24, kernel, 8)
        case Ffn():
            return Ffn(16, 32, 8)
        case Head() | Neck():
            return Head(16, 10, 8) if isinstance(unit, Head) else Neck(16, 8)
        case Features() | Foreign() | FusedNeck():
            raise TypeError(f"{type(unit).__name__} cannot be exported on its own")
        case _:
            return _representative_of_the_path(unit)


def _representative_of_the_path(unit: PathUnit) -> PathUnit:
    match unit:
        case ConvGelu(kernel=kernel, stride=stride):
            return ConvGelu(16, 24, kernel, stride, 8)
        case Inverted(se=se, kernel=kernel, stride=stride):
            hidden, c_out = 32 if unit.expands else 16, 16 if unit.residual else 24
            return Inverted(16, hidden, c_out, 8 if se else 0, kernel, stride, 8)
        case Separated(se=se, kernel=kernel, stride=stride):
            return Separated(16, 32, 24, 8 if se else 0, kernel, stride, 8)
        case GatedDownsample(kernel=kernel):
            return GatedDownsample(16, 24, 8, kernel, 8)
        case WideHead():
            return WideHead(16, 32, 40, 24, 8)


@functools.lru_cache(maxsize=64)
def _template(unit: Unit) -> onnx.ModelProto:
    """Export a unit with torch's exporter."""
    module = fused_module(unit, random_weights(unit, 0))
    example = torch.zeros(1, *input_shape(unit))
    return exported_model(module, example)


def exported_model(
    module: nn.Module,
    example: torch.Tensor,
    *,
    names: tuple[str, ...] | None = None,
    opset: int | None = None,
) -> onnx.ModelProto:
    """Return a module as torch's exporter writes it, without its remarks.

    Args:
        module: In evaluation mode.
        example: An input of the shape that it takes.
        names: Of the input and of each output of a model that takes any number of images; without
            them it takes as many as `example` holds.
        opset: Version of ONNX's operators; None takes the exporter's. Below 20 there is no Gelu, which
            is written as what it consists of.

    Raises:
        RepvitNasError: The exporter returned nothing, or has no such opset.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The exporter's own warnings, about torch's internals, change with its version.
            warnings.simplefilter("ignore")
            if opset is not None and opset < _OLDEST_OF_EXPORTER:
                model = _scripted(module, example, names, opset)
            else:
                model = _exported(module, example, names, opset)
    finally:
        logger.setLevel(level)
    made = next(one.version for one in model.opset_import if not one.domain)
    if opset is not None and made != opset:
        raise RepvitNasError(f"torch's exporter made opset {made}, and cannot make opset {opset}")
    if opset is not None:
        # An older runtime refuses a newer format of the file, whatever its operators.
        model.ir_version = min(
            model.ir_version, helper.find_min_ir_version_for(list(model.opset_import))
        )
    return model


def _exported(
    module: nn.Module, example: torch.Tensor, names: tuple[str, ...] | None, opset: int | None
) -> onnx.ModelProto:
    free: dict[str, Any] = {}
    if names is not None:
        free = {
            "input_names": names[:1],
            "output_names": names[1:],
            "dynamic_shapes": ({0: torch.export.Dim("images")},),
        }
    exported = torch.onnx.export(
        module, (example,), dynamo=True, verbose=False, opset_version=opset, **free
    )
    if exported is None:
        raise RepvitNasError("torch's exporter returned nothing; update torch and onnxscript")
    return exported.model_proto


def _scripted(
    module: nn.Module, example: torch.Tensor, names: tuple[str, ...] | None, opset: int
) -> onnx.ModelProto:
    """Export by torch's older exporter, the one that makes older opsets."""
    free: dict[str, Any] = {}
    if names is not None:
        free = {
            "input_names": names[:1],
            "output_names": names[1:],
            "dynamic_axes": {name: {0: "images"} for name in names},
        }
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                module, (example,), written, dynamo=False, opset_version=opset, **free
            )
        except (ValueError, RuntimeError) as error:
            raise RepvitNasError(f"torch's exporter cannot make opset {opset}: {error}") from error
        return onnx.load(written)
