"""The search space: which networks there are, as choices, as arrays and as records."""

import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt

from repvit_nas import data, files
from repvit_nas.architecture import (
    LOGITS,
    MAX_DEPTH,
    OUTPUTS,
    PLAIN,
    SE_PATTERNS,
    Architecture,
    OutputKind,
    Stage,
    se_bits,
    usual_output,
)
from repvit_nas.errors import FileError, RepvitNasError, UnknownNameError
from repvit_nas.search_space.constraints import Violation, parse
from repvit_nas.search_space.parameters import Parameter, listed, parameters_in, values_of
from repvit_nas.search_space.space_file import FIELDS, SpaceFile, StageSpace, Value
from repvit_nas.shapes import Floats, Integers, Shapes, shapes_of

if TYPE_CHECKING:
    import optuna

# One choice per parameter: the index of its value, `(n, parameters)`.
Choices = npt.NDArray[np.intp]

# More combinations than this are not enumerated.
ENUMERABLE: Final = 20_000_000
# More openings of stages than this are not priced.
MAX_OPENINGS: Final = 200_000


class Space:
    """A search space, read from a file.

    Attributes:
        file: The file's content.
        parameters: The choices that make a network, in the order of the columns of `Choices`.
        size: Combinations of choices, constraints not yet counted. (At depth 1 the SE patterns
            `alternate` and `all` are one network.)
    """

    def __init__(self, file: SpaceFile) -> None:
        self.file = file
        self.parameters = tuple(parameters_in(file))
        self.size = math.prod(len(parameter.values) for parameter in self.parameters)
        self._violations: tuple[Violation, ...] = tuple(parse(text) for text in file.constraints)
        self._numbers = {
            column: np.array(parameter.values, dtype=np.float64)
            for column, parameter in enumerate(self.parameters)
            if parameter.field not in ("se", "downsample")
        }
        self._se_tables = {
            column: np.array([_se_integers(str(name)) for name in parameter.values], np.uint64)
            for column, parameter in enumerate(self.parameters)
            if parameter.field == "se"
        }
        self._column = {
            (parameter.field, stage): column
            for column, parameter in enumerate(self.parameters)
            for stage in parameter.stages
        }

    @property
    def name(self) -> str:
        """The space's name."""
        return self.file.name

    @functools.cached_property
    def digest(self) -> str:
        """A digest of everything the file states."""
        return files.digest(msgspec.json.encode(self.file))

    @property
    def openings(self) -> int:
        """In how many ways a stage can open: what grows fastest of all that a search prices."""
        total, before = 0, 1
        for stage in self.file.stages:
            widths = len(stage.values("width"))
            ways = len(stage.expansion) * len(stage.kernel) * len(stage.downsample)
            total += before * widths * ways
            before = widths
        return total

    @property
    def radix(self) -> npt.NDArray[np.intp]:
        """How many values each parameter has, `(parameters,)`."""
        return np.array([len(parameter.values) for parameter in self.parameters], dtype=np.intp)

    @property
    def enumerable(self) -> bool:
        """Whether every network can be looked at."""
        return self.size <= ENUMERABLE

    def column(self, field: str, stage: int) -> int:
        """Return the column of `Choices` that sets `field` of `stage`."""
        return self._column[field, stage]

    def downsample_column(self, stage: int) -> int | None:
        """Return the column of `Choices` that says what opens `stage`; None where all is deep."""
        return self._column.get(("downsample", stage))

    def sample(self, rng: "np.random.Generator", count: int) -> Choices:
        """Draw `count` rows of choices uniformly, constraints not heeded."""
        return rng.integers(0, self.radix, size=(count, len(self.radix)), dtype=np.intp)

    def enumerate(self, chunk: int = 262_144) -> Iterator[Choices]:
        """Yield all combinations of choices in chunks of rows.

        Raises:
            RepvitNasError: There are more than can be enumerated.
        """
        if not self.enumerable:
            raise RepvitNasError(
                f"space {self.name!r} has {self.size:,} combinations; at most {ENUMERABLE:,} can "
                "be enumerated: use --space coarse or a smaller space file"
            )
        for start in range(0, self.size, chunk):
            flat = np.arange(start, min(start + chunk, self.size))
            yield np.stack(np.unravel_index(flat, tuple(self.radix)), axis=1)

    def decode(
        self,
        choices: Choices,
        *,
        resolution: int | None = None,
        num_classes: int = 1000,
        output: OutputKind = LOGITS,
    ) -> Shapes:
        """Return the networks of rows of choices as arrays."""
        count = len(choices)
        output = usual_output(output, num_classes)
        depth = self._integers("depth", choices)
        side = self.file.resolution.default if resolution is None else resolution
        return Shapes(
            width=self._integers("width", choices),
            depth=depth,
            se=self._se_integers(choices, depth),
            expansion=self._floats("expansion", choices),
            kernel=self._integers("kernel", choices),
            plain=self._plain(choices),
            resolution=np.full(count, side, dtype=np.int64),
            num_classes=np.full(count, num_classes, dtype=np.int64),
            output=np.full(count, OUTPUTS.index(output), dtype=np.int64),
        )

    def _floats(self, field: str, choices: Choices) -> Floats:
        """Return the values of a numeric field, `(n, 4)`."""
        values = np.empty((len(choices), 4))
        for stage in range(4):
            column = self.column(field, stage)
            values[:, stage] = self._numbers[column][choices[:, column]]
        return values

    def _plain(self, choices: Choices) -> npt.NDArray[np.bool_]:
        """Return which stages open with a downsample alone, `(n, 4)`."""
        plain = np.zeros((len(choices), 4), dtype=np.bool_)
        for stage in range(1, 4):
            column = self.downsample_column(stage)
            if column is not None:
                values = np.array(self.parameters[column].values) == PLAIN
                plain[:, stage] = values[choices[:, column]]
        return plain

    def _integers(self, field: str, choices: Choices) -> Integers:
        return self._floats(field, choices).astype(np.int64)

    def _se_integers(self, choices: Choices, depth: Integers) -> npt.NDArray[np.uint64]:
        """Return the bit strings of SE as integers, `(n, 4)`."""
        values = np.empty((len(choices), 4), dtype=np.uint64)
        for stage in range(4):
            column = self.column("se", stage)
            values[:, stage] = self._se_tables[column][choices[:, column], depth[:, stage]]
        return values

    def encode(self, architecture: Architecture) -> Choices:
        """Return the row of choices `(1, parameters)` that makes `architecture`.

        Raises:
            RepvitNasError: It is not one of the networks that a search can reach.
        """
        for index, stage in enumerate(architecture.stages):
            if stage.downsample == PLAIN and self.downsample_column(index) is None:
                raise RepvitNasError(
                    f"stages[{index}].downsample is not searched in space {self.name!r}: got 'plain'; "
                    "choices: deep"
                )
        row = np.zeros((1, len(self.parameters)), dtype=np.intp)
        for column, parameter in enumerate(self.parameters):
            wanted = values_of([architecture.stages[i] for i in parameter.stages], parameter)
            if len(wanted) > 1:
                raise RepvitNasError(
                    f"{parameter.field} is one choice for all stages of space {self.name!r}; "
                    f"{architecture.name or 'the network'} has {sorted(map(str, wanted))}"
                )
            value = wanted.pop()
            if value not in parameter.values:
                stage = architecture.stages[parameter.stages[0]]
                raise RepvitNasError(
                    f"stages[{parameter.stages[0]}].{parameter.field} is not searched in space "
                    f"{self.name!r}: got {getattr(stage, parameter.field)!r}; "
                    f"choices: {listed(parameter.values)}"
                )
            row[0, column] = parameter.values.index(value)
        return row

    def violations(self, shapes: Shapes) -> Floats:
        """Return how far networks are from each constraint, `(n, constraints)`; <= 0 is fulfilled."""
        columns = [violation(shapes) for violation in self._violations]
        return np.stack(columns, axis=1) if columns else np.zeros((len(shapes.width), 0))

    def check_resolution(self, resolution: int | None) -> None:
        """Raise unless networks of the space may have this input side; None is the default one.

        Raises:
            RepvitNasError: They may not.
        """
        limits = self.file.resolution
        if resolution is not None and not limits.min <= resolution <= limits.max:
            raise RepvitNasError(
                f"resolution must be {limits.min} to {limits.max} in space {self.name!r}; "
                f"got {resolution}"
            )

    def check(self, architecture: Architecture) -> None:
        """Raise unless `architecture` lies in the space or is allowed in a file beside it.

        Raises:
            RepvitNasError: Names the first field that is outside, what arrived and what is allowed.
        """
        limits = self.file.resolution
        if not limits.min <= architecture.resolution <= limits.max:
            raise RepvitNasError(
                f"resolution is not in space {self.name!r}: got {architecture.resolution}, "
                f"allowed: {limits.min} to {limits.max}"
            )
        self.check_shape(architecture)

    def check_shape(self, architecture: Architecture) -> None:
        """Raise unless the stages of `architecture` do, whatever its input side.

        That of a trained network is the side of its images, which no search chose.

        Raises:
            RepvitNasError: Names the first field that is outside, what arrived and what is allowed.
        """
        for index, (stage, allowed) in enumerate(
            zip(architecture.stages, self.file.stages, strict=True)
        ):
            for field in FIELDS:
                self._check_field(f"stages[{index}].{field}", field, stage, allowed)
        violations = self.violations(shapes_of([architecture]))[0]
        for text, violation in zip(self.file.constraints, violations, strict=True):
            if violation > 0:
                raise RepvitNasError(
                    f"not in space {self.name!r}: it breaks the constraint {text!r}"
                )

    def _check_field(self, where: str, field: str, stage: Stage, allowed: StageSpace) -> None:
        extra = self.file.allowed
        value, values = getattr(stage, field), allowed.values(field)
        if field == "kernel":
            values = tuple(sorted({*allowed.kernel, *extra.kernel}))
        if field == "downsample":
            values = tuple(sorted({*allowed.downsample, *extra.downsample}))
        if field == "se":
            if extra.se == "any":
                return
            values = tuple(se_bits(SE_PATTERNS[str(name)], stage.depth) for name in values)
        if value not in values:
            raise RepvitNasError(
                f"{where} is not in space {self.name!r}: got {value!r}, allowed: {listed(values)}"
            )

    @property
    def free_parameters(self) -> list[Parameter]:
        """The parameters that have more than one value."""
        return [parameter for parameter in self.parameters if len(parameter.values) > 1]

    def suggest(self, trial: "optuna.Trial") -> list[int]:
        """Let `trial` choose a network; return its row of choices."""
        chosen: dict[str, Value] = {}
        for parameter in self.free_parameters:
            values, step = parameter.values, parameter.step
            if step:
                low, high = int(values[0]), int(values[-1])
                chosen[parameter.name] = trial.suggest_int(parameter.name, low, high, step=step)
            else:
                value = trial.suggest_categorical(parameter.name, values)
                chosen[parameter.name] = cast("Value", value)
        return self.choices_of(chosen)

    def choices_of(self, chosen: Mapping[str, Value]) -> list[int]:
        """Return the row of choices that the parameters of an Optuna trial make.

        Raises:
            RepvitNasError: A parameter is missing or has a value that is not in the space.
        """
        row = []
        for parameter in self.parameters:
            value = chosen.get(parameter.name, parameter.values[0])
            if value not in parameter.values or (
                parameter.name not in chosen and len(parameter.values) > 1
            ):
                raise RepvitNasError(
                    f"{parameter.name} is not in space {self.name!r}: got "
                    f"{chosen.get(parameter.name)!r}, allowed: {listed(parameter.values)}"
                )
            row.append(parameter.values.index(value))
        return row

    def parameters_of(self, choices: npt.NDArray[np.intp]) -> dict[str, Value]:
        """Return one row of choices `(parameters,)` as the parameters of an Optuna trial."""
        return {
            parameter.name: parameter.values[int(choice)]
            for parameter, choice in zip(self.parameters, choices, strict=True)
            if len(parameter.values) > 1
        }


def _se_integers(name: str) -> list[int]:
    """Return the bit string of a named placement of SE as an integer, by depth from 0 up."""
    return [int(se_bits(SE_PATTERNS[name], depth) or "0", 2) for depth in range(MAX_DEPTH + 1)]


def load_space(name: str) -> tuple[Space, data.Found]:
    """Load a space by name, such as `repvit`, or from a file, and say where it was found.

    Raises:
        UnknownNameError: No such space.
        FileError: The file is not a valid space.
    """
    found = _find(name)
    space = Space(files.read_toml(found.path, SpaceFile))
    if space.openings > MAX_OPENINGS:
        raise FileError(
            f"{found.path}: its stages can open in {space.openings:,} ways (width before, width, "
            f"expansion and kernel, summed over the stages), at most {MAX_OPENINGS:,} can be "
            "priced: list fewer of them"
        )
    return space, found


def _find(name: str) -> data.Found:
    path = Path(name)
    try:
        if path.suffix == ".toml":
            return data.Found(path, shipped=False)
        if "/" in name or (path.suffix and path.is_file()):
            raise FileError(f"{name}: a space is a TOML file, whose name ends in .toml")
        return data.find("search_space", name, "space", suffix=".toml")
    except UnknownNameError:
        raise UnknownNameError.of("space", name, known_spaces()) from None
    except OSError as error:
        raise FileError(f"{name}: cannot be read: {error.strerror or error}") from error


def known_spaces() -> list[str]:
    """List the spaces that can be named without a path."""
    return sorted(
        name for name, found in data.listed("search_space").items() if _is_space(found.path)
    )


def _is_space(path: Path) -> bool:
    """Tell a space file from the other files of its folder."""
    try:
        return path.suffix == ".toml" and bool(files.read_toml(path, SpaceFile))
    except FileError:
        return False
