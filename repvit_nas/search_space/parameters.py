"""The choices that make a network: which a space file has, what each sets, and its values."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from repvit_nas.architecture import SE_PATTERNS, Stage, se_bits
from repvit_nas.search_space.space_file import ALL_DEEP, FIELDS, SpaceFile, Value


class Parameter(NamedTuple):
    """One choice that a search makes.

    Attributes:
        name: `width_0`, or `se` where one choice holds for all stages.
        field: The field of a stage that it sets.
        stages: The stages that it sets.
        values: What may be chosen, in order.
    """

    name: str
    field: str
    stages: tuple[int, ...]
    values: tuple[Value, ...]

    @property
    def step(self) -> int:
        """The step of evenly spaced integers; 0 if the values are a list of choices."""
        return _even_step(self.values)


def parameters_in(file: SpaceFile) -> Iterator[Parameter]:
    """Return the choices of a space, in the order of the columns of its rows."""
    for field in FIELDS:
        if field == "downsample":
            yield from _downsample_parameters(file)
            continue
        if field in file.tied:
            yield Parameter(field, field, (0, 1, 2, 3), file.stages[0].values(field))
            continue
        for index, stage in enumerate(file.stages):
            yield Parameter(f"{field}_{index}", field, (index,), stage.values(field))


def _downsample_parameters(file: SpaceFile) -> Iterator[Parameter]:
    """Return the choices of what opens stages 2 to 4; none where nothing is to be chosen."""
    field, places = "downsample", (1, 2, 3)
    if all(stage.downsample == ALL_DEEP for stage in file.stages):
        return
    if field in file.tied:
        yield Parameter(field, field, places, file.stages[1].values(field))
        return
    for index in places:
        yield Parameter(f"{field}_{index}", field, (index,), file.stages[index].values(field))


def values_of(stages: Sequence[Stage], parameter: Parameter) -> set[Value]:
    """Return what stages that share a parameter have of it: one value, or they do not share it."""
    if parameter.field != "se":
        return {getattr(stage, parameter.field) for stage in stages}
    for name in parameter.values:  # a stage of one block has several of them
        pattern = SE_PATTERNS[str(name)]
        if all(stage.se == se_bits(pattern, stage.depth) for stage in stages):
            return {name}
    return {stage.se for stage in stages}


def _even_step(values: tuple[Value, ...]) -> int:
    """Return the step of evenly spaced integers, or 0 if `values` are not those."""
    if len(values) < 2 or not all(isinstance(value, int) for value in values):
        return 0
    steps = set(np.diff(np.array(values, dtype=np.int64)).tolist())
    return int(steps.pop()) if len(steps) == 1 and min(steps, default=1) > 0 else 0


def listed(values: Sequence[Value]) -> str:
    """Return values as a message lists them."""
    step = _even_step(tuple(values))
    if step and len(values) > 3:
        return f"{values[0]} to {values[-1]} in steps of {step}"
    return ", ".join(map(str, values))
