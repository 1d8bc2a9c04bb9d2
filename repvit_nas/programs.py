"""What is timed: a sequence of units that runs as one program, and what its time says of a unit.

A lone unit is no good witness: every call pays for entering the runtime and for bringing the input
into the runtime's own layout. So a unit that keeps its shape is timed as chains of k distinct
copies, whose slope over k is its cost. A unit that changes the shape stands between two FFNs whose
own chains are timed; half of each neighbour's chain of two is taken off, and with it half of a
call on either side:

    T(A U B) - T(A A) / 2 - T(B B) / 2 = cost(U)                 (a downsample)
    T(U B) - T(B B) / 2                = cost(U) + half a call   (a stem; a head likewise)
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from repvit_nas import files
from repvit_nas.counting import halved
from repvit_nas.units import Block, Downsample, Ffn, Head, Network, Stem, Unit, rows

# Copies in a chain. Two far apart give the steepest lever for the same time.
CHAIN_LENGTHS: Final = (2, 6)
# What neighbours of a shape-changing unit are: an FFN of this expansion.
_NEIGHBOUR_EXPANSION: Final = 2


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Units that run one after the other in one call.

    Attributes:
        units: The units in order, each with how often it is repeated, as distinct copies.
    """

    units: tuple[tuple[Unit, int], ...]

    @property
    def key(self) -> str:
        """A short name that two programs share only if they are equal."""
        return files.digest(msgspec.json.encode(self.units))

    @property
    def sequence(self) -> list[Unit]:
        """The units one by one."""
        return [unit for unit, count in self.units for _ in range(count)]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(count * unit.macs for unit, count in self.units)


class CostRecipe(NamedTuple):
    """How a unit's cost follows from the times of programs.

    Attributes:
        terms: Programs with the coefficient of their time.
        calls: How many calls' overhead is left in the sum.
    """

    terms: tuple[tuple[Program, float], ...]
    calls: float = 0.0


def program(units: Sequence[Unit]) -> Program:
    """Return the program that runs `units` in order."""
    runs: list[tuple[Unit, int]] = []
    for unit in units:
        if runs and runs[-1][0] == unit:
            runs[-1] = (unit, runs[-1][1] + 1)
        else:
            runs.append((unit, 1))
    return Program(tuple(runs))


def network(architecture: Network) -> Program:
    """Return the program of a whole network."""
    return program(rows(architecture))


def chain(unit: Unit, copies: int) -> Program:
    """Return the program of `copies` distinct copies of a unit that keeps its shape."""
    return Program(((unit, copies),))


def isolated(unit: Unit) -> Program:
    """Return the program of a unit alone: a baseline, never part of a table."""
    return Program(((unit, 1),))


def recipe(unit: Unit, lengths: Sequence[int] = CHAIN_LENGTHS) -> CostRecipe:
    """Return how the cost of `unit` is found.

    Args:
        unit: A unit of a classifier.
        lengths: Copies in its chains, at least two different numbers.

    Raises:
        TypeError: The unit cannot be timed on its own.
    """
    match unit:
        case Block() | Ffn():
            return CostRecipe(_slope(unit, lengths))
        case Downsample(c_in, c_out, _, size):
            before, after = _neighbour(c_in, size), _neighbour(c_out, halved(size))
            return CostRecipe(_between((before, unit, after), (before, after)))
        case Stem(width, size):
            after = _neighbour(width, halved(halved(size)))
            return CostRecipe(_between((unit, after), (after,)), calls=0.5)
        case Head(width, _, size):
            before = _neighbour(width, size)
            return CostRecipe(_between((before, unit), (before,)), calls=0.5)
        case _:
            raise TypeError(f"{type(unit).__name__} cannot be timed on its own")


def _neighbour(width: int, size: int) -> Ffn:
    return Ffn(width, _NEIGHBOUR_EXPANSION * width, size)


def _between(
    units: Sequence[Unit], neighbours: Sequence[Unit]
) -> tuple[tuple[Program, float], ...]:
    return ((program(units), 1.0), *((chain(unit, 2), -0.5) for unit in neighbours))


def _slope(unit: Unit, lengths: Sequence[int]) -> tuple[tuple[Program, float], ...]:
    """Return the least-squares slope over chain lengths as a weighted sum of their times."""
    middle = sum(lengths) / len(lengths)
    spread = sum((length - middle) ** 2 for length in lengths)
    return tuple((chain(unit, length), (length - middle) / spread) for length in lengths)
