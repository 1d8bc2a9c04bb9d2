"""Pareto fronts and hypervolumes as functions of arrays; all objectives are minimised."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.search_space.space import Choices
from repvit_nas.searching.problem import Problem
from repvit_nas.shapes import Floats

# Cells a side of the finest grid of a thinned front: six objectives' cells fit into 64 bits.
_FINEST: Final = 1 << 10


class Front(NamedTuple):
    """Networks none of which is beaten by another, ordered by the first objective.

    Attributes:
        choices: Rows of choices, `(n, parameters)`.
        objectives: Their objectives, `(n, objectives)`.
    """

    choices: Choices
    objectives: Floats


def non_dominated(objectives: Floats) -> npt.NDArray[np.intp]:
    """Return the rows that no other row beats, equal rows once, ordered by the first objective."""
    import moocore

    if len(objectives) == 0:
        return np.zeros(0, dtype=np.intp)
    rows = np.flatnonzero(moocore.is_nondominated(objectives, keep_weakly=False))
    return np.asarray(rows[np.lexsort(objectives[rows].T[::-1])])


def hypervolume(objectives: Floats, reference: Floats) -> float:
    """Return the volume between `objectives` `(n, d)` and the `reference` point `(d,)`.

    Rows that do not lie below the reference in every objective add nothing.
    """
    import moocore

    inside = objectives[np.all(objectives < reference, axis=1)]
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0


def front_of(problem: Problem, choices: Choices) -> Front:
    """Return the front of the feasible networks among rows of choices."""
    objectives, feasible = problem.objectives_at(choices)
    return _front(choices[feasible], objectives[feasible])


def merged(*fronts: Front) -> Front:
    """Return the front of several fronts together."""
    return _front(
        np.concatenate([front.choices for front in fronts]),
        np.concatenate([front.objectives for front in fronts]),
    )


def _front(choices: Choices, objectives: Floats) -> Front:
    best = non_dominated(objectives)
    return Front(choices[best], objectives[best])


def thinned(front: Front, most: int) -> Front:
    """Return at most `most` members of a front, spread over it; see :func:`thinned_rows`."""
    if len(front.choices) <= most:
        return front
    rows = thinned_rows(front, most)
    return Front(front.choices[rows], front.objectives[rows])


def thinned_rows(front: Front, most: int) -> npt.NDArray[np.intp]:
    """Return the rows of at most `most` members of a front: the best of each cell of a grid.

    The grid is the finest, as halving finds it, that leaves few enough; of a cell the member with the
    least sum of objectives, each over the front's span, stays.
    """
    if len(front.choices) <= most:
        return np.arange(len(front.choices))
    low, high = front.objectives.min(axis=0), front.objectives.max(axis=0)
    scaled = (front.objectives - low) / np.where(high > low, high - low, 1.0)
    order = np.argsort(scaled.sum(axis=1), kind="stable")
    enough, many = 1, _FINEST
    kept = _firsts(scaled[order], enough)
    while many - enough > 1:
        cells = (enough + many) // 2
        found = _firsts(scaled[order], cells)
        if len(found) <= most:
            enough, kept = cells, found
        else:
            many = cells
    return np.asarray(np.sort(order[kept]))


def _firsts(scaled: Floats, cells: int) -> npt.NDArray[np.intp]:
    """Return the first row in each cell of a grid of so many a side over the unit cube."""
    places = np.minimum(scaled * cells, cells - 1).astype(np.uint64)
    weights = np.uint64(cells) ** np.arange(places.shape[1], dtype=np.uint64)
    return np.asarray(np.unique(places @ weights, return_index=True)[1])


def reference_point(front: Front) -> Floats:
    """Return the reference for hypervolumes: the worst of the front in every objective.

    It is the tightest point that the front spans, so a share of the hypervolume is not flattered
    by empty space around the front.
    """
    return np.asarray(front.objectives.max(axis=0))
