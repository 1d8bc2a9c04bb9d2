"""Local improvement of a front: prices are additive, so looking at all neighbours is cheap."""

import itertools
import math
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.search_space.space import Choices
from repvit_nas.searching.front import Front, front_of, hypervolume, merged, thinned_rows
from repvit_nas.searching.problem import Problem
from repvit_nas.shapes import Floats

# Front members whose neighbours are scored together.
_BATCH: Final = 256
# Members of the front that is worked at; a front of one device never has as many.
MOST: Final = 4000
# Members whose neighbours are looked at, where a front is thinned: it never ends by itself. With four
# devices the hypervolume is as large after these as after five times as many.
_EXPANDED: Final = 2 * MOST
# Steps without which nothing can be said of what going on would add.
_TELLING: Final = 6
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


class Improved(NamedTuple):
    """What improvement found.

    Attributes:
        front: Every network that it found and that no other beats.
        late_gain: Which share of its hypervolume the second half of the steps found, where the time
            was over before the end: what is left is likely less. None where it was not over, or too
            few steps were made to tell.
    """

    front: Front
    late_gain: float | None = None


class _Found:
    """What was found so far: fronts that are done, and what thinning left out of them."""

    def __init__(self, end: float, progress: Callable[[int, int], None]) -> None:
        self.end = end
        self.progress = progress
        self.aside: list[Front] = []
        self._done: list[Floats] = []
        # The objectives of what was known at each step, if a time is set, and how much lay aside.
        self._steps: list[tuple[Floats, int]] = []

    @property
    def over(self) -> bool:
        """Whether the time is."""
        return time.monotonic() >= self.end

    def step(self, front: Front) -> None:
        """Note how far it is."""
        if math.isfinite(self.end):
            known = np.concatenate([*self._done, front.objectives])
            self._steps.append((known, len(self.aside)))

    def finish(self, front: Front) -> None:
        """Note a front that is done."""
        self._done.append(front.objectives)

    def thinned(self, front: Front) -> Front:
        """Return a front thinned to `MOST`, and keep what that leaves out."""
        if len(front.choices) <= MOST:
            return front
        rows = thinned_rows(front, MOST)
        out = np.delete(np.arange(len(front.choices)), rows)
        # Few bytes each: there may be a hundred thousand of them.
        self.aside.append(Front(front.choices[out].astype(np.uint16), front.objectives[out]))
        return Front(front.choices[rows], front.objectives[rows])

    def late_gain(self) -> float | None:
        """Return which share of the hypervolume the second half of the steps found."""
        if len(self._steps) < _TELLING:
            return None
        half, now = (self._known(step) for step in (len(self._steps) // 2, -1))
        reference = now.max(axis=0)
        whole = hypervolume(now, reference)
        return max(0.0, 1 - hypervolume(half, reference) / whole) if whole else None

    def _known(self, step: int) -> Floats:
        objectives, aside = self._steps[step]
        return np.concatenate([objectives, *(front.objectives for front in self.aside[:aside])])


def improve(
    problem: Problem,
    *starts: Front,
    timeout_s: float = float("inf"),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Improved:
    """Improve fronts until no network one or two steps away from their union would join it.

    Single steps are taken to their end first, from each start for itself: most of the way is
    theirs, they are few, and a start that another one dominates may lead further in the end.

    The front of several devices grows without end: the one that is worked at is thinned to `MOST`
    members, spread over it, and only so many are looked at.

    Args:
        problem: What to search.
        *starts: The fronts.
        timeout_s: Stop after this many seconds with what is found.
        progress: Called with how many members' neighbours were looked at, and of how many known.
    """
    parameters = len(problem.space.parameters)
    found = _Found(time.monotonic() + timeout_s, progress)
    singles = single_steps(parameters)
    descended = []
    for start in starts:
        descended.append(_descend(problem, start, singles, found))
        found.finish(descended[-1])
    front = _descend(problem, merged(*descended), double_steps(parameters), found)
    late = found.late_gain() if found.over else None
    if found.aside:
        front = merged(front, *found.aside)
        front = Front(front.choices.astype(np.intp), front.objectives)
    return Improved(front, late)


def _descend(problem: Problem, front: Front, steps: Choices, found: _Found) -> Front:
    neighbourhood = Neighbourhood(problem, steps)
    parameters = len(problem.space.parameters)
    expanded: Codes = np.zeros(0, dtype=np.uint64)
    before = len(found.aside)
    front = found.thinned(front)
    while not found.over and len(front.choices):
        codes = code(front.choices, parameters)
        all_waiting = np.flatnonzero(~_contains(expanded, codes))
        if len(found.aside) > before and len(expanded) >= _EXPANDED:
            break
        if not len(all_waiting):
            break
        found.progress(len(expanded), len(expanded) + len(all_waiting))
        found.step(front)
        waiting = all_waiting[:_BATCH]
        expanded = _joined(expanded, codes[waiting])
        around = neighbourhood.around(front.choices[waiting])
        if len(around):
            front = found.thinned(merged(front, front_of(problem, around)))
    return front
