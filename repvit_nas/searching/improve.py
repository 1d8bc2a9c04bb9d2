"""Local improvement of a front: prices are additive, so looking at all neighbours is cheap."""

import itertools
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.search_space.space import Choices
from repvit_nas.searching.front import Front, front_of, merged, thinned
from repvit_nas.searching.problem import Problem

# Front members whose neighbours are scored together.
_BATCH: Final = 256
# More members than this tell a person nothing; a front of one device never has as many.
MOST: Final = 4000
# Members whose neighbours are looked at, where a front is thinned: it never ends by itself.
_EXPANDED: Final = 5 * MOST
Codes = npt.NDArray[np.uint64]


class Moves(NamedTuple):
    """Changes of a network.

    Attributes:
        steps: Change of each choice, `(moves, parameters)`.
        codes: What a move adds to a network's code, `(moves,)`.
    """

    steps: Choices
    codes: Codes


def single_steps(parameters: int) -> Choices:
    """Return the changes that take one parameter to its next higher or lower value."""
    up = np.eye(parameters, dtype=np.intp)
    return np.vstack([up, -up])


def double_steps(parameters: int) -> Choices:
    """Return the changes made of two single steps, `(moves, parameters)`."""
    pairs = itertools.combinations_with_replacement(single_steps(parameters), 2)
    return np.unique([one + other for one, other in pairs if np.any(one + other)], axis=0)


def code(choices: Choices, parameters: int) -> Codes:
    """Return a 64-bit code of each row; codes add as rows do, and hardly ever collide."""
    weights = np.random.default_rng(0).integers(0, 2**64, size=parameters, dtype=np.uint64)
    return np.asarray(choices.astype(np.uint64) @ weights)


class Neighbourhood:
    """Lists the neighbours of networks, each network once."""

    def __init__(self, problem: Problem, steps: Choices) -> None:
        self._radix = problem.space.radix
        self._parameters = len(self._radix)
        self._moves = Moves(steps, code(steps, self._parameters))
        self._seen: Codes = np.zeros(0, dtype=np.uint64)

    def around(self, choices: Choices) -> Choices:
        """Return the networks one move away from `choices` that were not returned before."""
        codes = code(choices, self._parameters)[:, None] + self._moves.codes[None, :]
        fresh, first = np.unique(codes, return_index=True)
        new = ~_contains(self._seen, fresh)
        self._seen = _joined(self._seen, fresh[new])
        member, move = np.unravel_index(first[new], codes.shape)
        around = choices[member] + self._moves.steps[move]
        inside = np.all((around >= 0) & (around < self._radix), axis=1)
        return np.asarray(around[inside])


def _contains(ordered: Codes, values: Codes) -> npt.NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[place] == values)


def _joined(ordered: Codes, new: Codes) -> Codes:
    # Not np.union1d: its hashing is many times slower than sorting on millions of known codes.
    return np.sort(np.concatenate([ordered, new]))


def improve(
    problem: Problem,
    *starts: Front,
    timeout_s: float = float("inf"),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Front:
    """Improve fronts until no network one or two steps away from their union would join it.

    Single steps are taken to their end first, from each start for itself: most of the way is
    theirs, they are few, and a start that another one dominates may lead further in the end.

    The front of several devices grows without end; it is thinned to `MOST` members, spread over it.

    Args:
        problem: What to search.
        *starts: The fronts.
        timeout_s: Stop after this many seconds with what is found.
        progress: Called with how many members' neighbours were looked at, and of how many known.
    """
    parameters = len(problem.space.parameters)
    end = time.monotonic() + timeout_s
    singles = single_steps(parameters)
    descended = [_descend(problem, start, singles, end, progress) for start in starts]
    return _descend(problem, merged(*descended), double_steps(parameters), end, progress)


def _descend(
    problem: Problem,
    front: Front,
    steps: Choices,
    end: float,
    progress: Callable[[int, int], None],
) -> Front:
    neighbourhood = Neighbourhood(problem, steps)
    parameters = len(problem.space.parameters)
    expanded: Codes = np.zeros(0, dtype=np.uint64)
    front = thinned(front, MOST)
    while time.monotonic() < end and len(front.choices) and len(expanded) < _EXPANDED:
        codes = code(front.choices, parameters)
        all_waiting = np.flatnonzero(~_contains(expanded, codes))
        if not len(all_waiting):
            break
        progress(len(expanded), len(expanded) + len(all_waiting))
        waiting = all_waiting[:_BATCH]
        expanded = _joined(expanded, codes[waiting])
        around = neighbourhood.around(front.choices[waiting])
        if len(around):
            front = thinned(merged(front, front_of(problem, around)), MOST)
    return front
