"""Programs of units as Core ML packages: fp16 ML programs for iOS 16, converted by coremltools.

Every package is read back and compared with torch before anybody times it.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, overload

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from repvit_nas import files
from repvit_nas.conversion.converter import converted, coremltools, save
from repvit_nas.conversion.mil import MilProgram, read_package, run, run_parts
from repvit_nas.conversion.package import (
    INPUT,
    WEIGHTS_PATH,
    package_digest,
)
from repvit_nas.errors import RepvitNasError
from repvit_nas.necks import FusedNeck, Neck, Widen
from repvit_nas.network.pieces import (
    Chain,
    UnitWeights,
    fused_module,
    input_shape,
    random_weights,
)
from repvit_nas.path_units import ConvGelu, GatedDownsample, Inverted, PathUnit, Separated, WideHead
from repvit_nas.programs import Program
from repvit_nas.quantities import Count, Deviation
from repvit_nas.units import Block, Downsample, Features, Ffn, Foreign, Head, Stem, Unit, tapped

OUTPUT: Final = "output"
# Relative root mean square that half precision may differ from torch by: 5e-4 to 8e-4 is usual.
TOLERANCE: Final = 2e-3


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found in a package when it was read back.

    Attributes:
        digest: Of its bytes.
        size_bytes: Of its weights.
        operations: How often each operation occurs.
        rms: How far half precision is from torch, relative root mean square, in the worst unit.
    """

    digest: str
    size_bytes: Count
    operations: dict[str, Count]
    rms: Deviation


class _RandomWeights(Sequence[UnitWeights]):
    """Weights of a program's units, drawn when they are asked for and not kept."""

    def __init__(self, program: Program) -> None:
        self._units = tapped(program.sequence)[0]

    def __len__(self) -> int:
        return len(self._units)

    @overload
    def __getitem__(self, place: int) -> UnitWeights: ...

    @overload
    def __getitem__(self, place: slice) -> list[UnitWeights]: ...

    def __getitem__(self, place: int | slice) -> UnitWeights | list[UnitWeights]:
        """Draw: the copies of one unit have different seeds."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        return random_weights(self._units[place], place + 1)


def program_weights(program: Program) -> Sequence[UnitWeights]:
    """Return the weights of a program's units but for maps: random, and different in every copy.

    They are drawn anew every time they are asked for, which is cheaper than keeping them while a
    program is converted.
    """
    return _RandomWeights(program)


def write_program(program: Program, package: Path) -> Package:
    """Convert a program, write its package, read it back and check it.

    Raises:
        RepvitNasError: What was written is not what torch computes.
        FileError: It cannot be written.
    """
    weights = program_weights(program)
    maps = len(tapped(program.sequence)[1])
    shape = (1, *input_shape(program.sequence[0]))
    write_module(_module(program, weights), shape, package, outputs=maps)
    return check(program, weights, package)


def write_module(
    module: nn.Module, shape: Sequence[int], package: Path, *, outputs: int = 1
) -> None:
    """Convert a fused module and write its package, beside its place first.

    Args:
        module: In evaluation mode, one input.
        shape: Of its input.
        package: Where to; an older package there is replaced.
        outputs: How many maps it hands back; several are numbered.

    Raises:
        FileError: It cannot be written.
    """
    tools = coremltools()
    names = [OUTPUT] if outputs == 1 else [f"{OUTPUT}_{place}" for place in range(outputs)]
    model = converted(
        module,
        shape,
        inputs=[tools.TensorType(name=INPUT, shape=tuple(shape), dtype=np.float16)],
        outputs=[tools.TensorType(name=name, dtype=np.float16) for name in names],
    )
    del module  # its weights are in the model now, and the caller's, where nobody else keeps it
    save(model, package)


def _module(program: Program, weights: Sequence[UnitWeights]) -> nn.Module:
    units, places = tapped(program.sequence)
    parts = [fused_module(unit, own) for unit, own in zip(units, weights, strict=True)]
    return Chain(parts, places).eval()


def expected_operations(units: Sequence[Unit]) -> tuple[str, ...]:
    """Return the operations that a program of fused units must have, in order.

    Raises:
        TypeError: A unit is not one that a classifier is made of.
    """
    return tuple(itertools.chain.from_iterable(_operations(unit) for unit in units))


_FFN: Final = ("conv", "gelu", "conv", "add")
_SE: Final = ("reduce_mean", "conv", "relu", "conv", "sigmoid", "mul")
# Over the channels, which are brought to the end and back.
_LAYER_NORM: Final = ("transpose", "layer_norm", "transpose")
_NECK: Final = ("conv", *_LAYER_NORM, "conv", *_LAYER_NORM)


def _operations(unit: Unit) -> tuple[str, ...]:
    match unit:
        case Stem():
            return ("conv", "gelu", "conv")
        case Block(se=se):
            return ("conv", *(_SE if se else ()), *_FFN)
        case Downsample() | Widen():
            return ("conv", "conv")
        case Ffn():
            return _FFN
        case Head() | Neck():
            return ("reduce_mean", "linear") if isinstance(unit, Head) else _NECK
        case Features() | Foreign() | FusedNeck():
            raise TypeError(f"{type(unit).__name__} cannot be exported on its own")
        case _:
            return _operations_of_the_path(unit)


def _operations_of_the_path(unit: PathUnit) -> tuple[str, ...]:
    match unit:
        case ConvGelu():
            return ("conv", "gelu")
        case Inverted(se=se):
            first = ("conv", "gelu") if unit.expands else ()
            gate, last = _SE if se else (), ("add",) if unit.residual else ()
            return (*first, "conv", *gate, "gelu", "conv", *last)
        case Separated(se=se):
            return ("conv", *(_SE if se else ()), "conv", "gelu", "conv")
        case GatedDownsample():
            return ("conv", *_SE, "conv")
        case WideHead():
            return ("conv", "gelu", "reduce_mean", "linear", "gelu", "linear")


def check(program: Program, weights: Sequence[UnitWeights], package: Path) -> Package:
    """Read a package back and compare it with torch: operations, weights, and what it computes.

    Raises:
        RepvitNasError: They differ; the message says in what.
    """
    found = read_package(package)
    _check_operations(program, found, package)
    _check_outputs(program, found, package)
    _check_weights(weights, found, package)
    rms = max(unit_distances(program, weights, found))
    if not rms <= TOLERANCE:
        raise RepvitNasError(
            f"{package}: a unit differs from torch by {rms:.1e} relative root mean square; at "
            f"most {TOLERANCE:.0e} is half precision: this coremltools or torch cannot be trusted"
        )
    return Package(
        digest=package_digest(package),
        size_bytes=(package / WEIGHTS_PATH).stat().st_size,
        operations=dict(sorted(Counter(found.types).items())),
        rms=float(f"{rms:.2g}"),
    )


def _check_operations(program: Program, found: MilProgram, package: Path) -> None:
    wanted = expected_operations(tapped(program.sequence)[0])
    if found.types != wanted:
        surplus = dict(Counter(found.types) - Counter(wanted))
        missing = dict(Counter(wanted) - Counter(found.types))
        raise RepvitNasError(
            f"{package}: coremltools made other operations than the fused network has: too many "
            f"{surplus or 'none'}, too few {missing or 'none'}, or another order"
        )
    for operation in found.operations:
        mode = found.constants.get(operation.arguments.get("mode", ""))
        if operation.type == "gelu" and mode != "EXACT":
            raise RepvitNasError(f"{package}: gelu must be EXACT; got {mode}")


def _check_outputs(program: Program, found: MilProgram, package: Path) -> None:
    """Make sure that maps are handed back behind the units that make them, in order."""
    units, places = tapped(program.sequence)
    ends = list(itertools.accumulate(len(_operations(unit)) for unit in units))
    wanted = tuple(found.operations[ends[place] - 1].output for place in places)
    if found.outputs != wanted:
        raise RepvitNasError(
            f"{package}: must hand back {', '.join(wanted)}; got {', '.join(found.outputs)}"
        )


def _check_weights(weights: Sequence[UnitWeights], found: MilProgram, package: Path) -> None:
    """Compare the weights bit by bit with torch's, rounded to half precision."""
    mine = Counter(
        _fingerprint(value.astype(np.float16)) for own in weights for value in own.values()
    )
    theirs = Counter(_fingerprint(value) for value in found.weights.values())
    if mine != theirs:
        raise RepvitNasError(
            f"{package}: {sum((mine - theirs).values())} of {sum(mine.values())} weights are not "
            "torch's, rounded to half precision"
        )


def _fingerprint(value: npt.NDArray[np.float16]) -> tuple[tuple[int, ...], str]:
    """Return what two arrays share only if they are equal; their bytes would be as large again."""
    return value.shape, files.digest(value.tobytes())


def example(program: MilProgram) -> npt.NDArray[np.float32]:
    """Return a random input of a program, exact in half precision."""
    (shape,) = program.inputs.values()
    drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return drawn.astype(np.float16).astype(np.float32)


def distance(
    module: nn.Module,
    program: MilProgram,
    taken: npt.NDArray[np.float32],
    negated: Sequence[str] = (),
) -> float:
    """Return how far a program is from a module, relative root mean square.

    Half precision adds up: 6e-4 for one block, and with the square root of the depth.

    Args:
        module: The module in single precision.
        program: The program.
        taken: What both take.
        negated: See :func:`repvit_nas.conversion.mil.run`.
    """
    with torch.inference_mode():
        expected = module(torch.from_numpy(taken)).numpy()
    return _relative(run(program, taken, negated), expected)


def unit_distances(
    program: Program,
    weights: Sequence[UnitWeights],
    found: MilProgram,
    negated: Sequence[str] = (),
) -> list[float]:
    """Return how far each unit of a program is from torch's, relative root mean square.

    Each takes what torch's took, so that a deep program is checked as sharply as a short one.

    Args:
        program: What should be in the package.
        weights: Of its units.
        found: What is in it.
        negated: See :func:`repvit_nas.conversion.mil.run`.
    """
    units, _ = tapped(program.sequence)
    taken, expected = [example(found)], []
    with torch.inference_mode():
        for unit, own in zip(units, weights, strict=True):
            part = fused_module(unit, own)
            expected.append(part(torch.from_numpy(taken[-1])).numpy())
            taken.append(expected[-1].astype(np.float16).astype(np.float32))
    lengths = [len(_operations(unit)) for unit in units]
    made = run_parts(found, taken[:-1], lengths, negated)
    return [_relative(one, other) for one, other in zip(made, expected, strict=True)]


def _relative(made: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    error = float(np.sqrt(np.mean((made - expected) ** 2) / np.mean(expected**2)))
    return error if np.isfinite(error) else float("inf")
