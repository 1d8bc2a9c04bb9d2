"""What a space file holds: the choices of each stage, the resolutions, and what is tied or bounded."""

from typing import Final, Literal, TypeAlias

import msgspec

from repvit_nas.architecture import DEEP, KERNELS, MAX_DEPTH, Downsampling, Stage
from repvit_nas.search_space.constraints import parse

Value: TypeAlias = int | float | str
FIELDS: Final = ("width", "depth", "se", "expansion", "kernel", "downsample")
# What a stage opens with where a space says nothing of it.
ALL_DEEP: Final[tuple[Downsampling, ...]] = (DEEP,)


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Integers from `min` to `max` in steps of `step`."""

    min: int
    max: int
    step: int = 1

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        if not (0 < self.min <= self.max <= 4096 and 0 < self.step <= 4096):
            raise ValueError(
                "a range needs 0 < min <= max <= 4096 and step > 0, at most 4096; "
                f"got min {self.min}, max {self.max}, step {self.step}"
            )

    def values(self) -> tuple[int, ...]:
        """List the integers."""
        return tuple(range(self.min, self.max + 1, self.step))


class StageSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one stage may be; of `downsample` a space need say nothing."""

    width: Range | tuple[int, ...]
    depth: Range | tuple[int, ...]
    se: tuple[Literal["none", "alternate", "all"], ...]
    expansion: tuple[float, ...]
    kernel: tuple[int, ...] = msgspec.field(default_factory=lambda: (3,))  # always written
    downsample: tuple[Downsampling, ...] = ALL_DEEP

    def __post_init__(self) -> None:
        """Check that every choice makes a valid stage."""
        for field in FIELDS:
            values = self.values(field)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{field} must list different values, at least one; got {values}")
        for width in self.values("width"):
            Stage(width=int(width), depth=1, se="0")
        if not all(1 <= int(depth) <= MAX_DEPTH for depth in self.values("depth")):
            raise ValueError(f"depth must be 1 to {MAX_DEPTH}; got {self.values('depth')}")
        for expansion in self.expansion:
            Stage(width=8, depth=1, se="0", expansion=expansion)
        for kernel in self.kernel:
            Stage(width=8, depth=1, se="0", kernel=kernel)
        if self.downsample == ALL_DEEP:  # what is left out of digests is told by identity
            msgspec.structs.force_setattr(self, "downsample", ALL_DEEP)

    def values(self, field: str) -> tuple[Value, ...]:
        """List the values of `field` in order."""
        value = getattr(self, field)
        return value.values() if isinstance(value, Range) else tuple(value)


class ResolutionSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The input sides allowed, and the one searched by default."""

    default: int = 224
    min: int = 160
    max: int = 1024

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        if not 32 <= self.min <= self.default <= self.max <= 4096:
            raise ValueError(
                "resolution needs 32 <= min <= default <= max <= 4096; "
                f"got min {self.min}, default {self.default}, max {self.max}"
            )


class Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an architecture file may hold beyond what is searched."""

    # Always written, but for `downsample`, which came later.
    kernel: tuple[int, ...] = msgspec.field(default_factory=lambda: ())
    se: Literal["any", "searched"] = msgspec.field(default_factory=lambda: "searched")
    downsample: tuple[Downsampling, ...] = ()

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        if not set(self.kernel) <= set(KERNELS):
            raise ValueError(f"kernel must list some of 3, 5 and 7; got {self.kernel}")


class SpaceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of a space file (schema 1)."""

    schema: Literal[1] = 1
    name: str
    description: str = ""
    constraints: tuple[str, ...] = ()
    tied: tuple[Literal["width", "depth", "se", "expansion", "kernel", "downsample"], ...] = ()
    resolution: ResolutionSpace = ResolutionSpace()
    allowed: Allowed = Allowed()
    stages: tuple[StageSpace, StageSpace, StageSpace, StageSpace]

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        for text in self.constraints:
            parse(text)
        if self.stages[0].downsample != ALL_DEEP:
            raise ValueError(
                "stages[0] opens with the stem, so its downsample must be left out; "
                f"got {self.stages[0].downsample}"
            )
        for field in self.tied:
            if len({stage.values(field) for stage in self.stages[field == "downsample" :]}) > 1:
                raise ValueError(f"tied fields need equal values in all stages; got {field!r}")
