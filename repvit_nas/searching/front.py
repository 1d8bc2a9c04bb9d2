"""Pareto fronts and hypervolumes as functions of arrays; all objectives are minimised."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.search_space.space import Choices
from repvit_nas.searching.problem import Problem
from repvit_nas.shapes import Floats


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
    """Return at most `most` members of a front, spread over it: the best of each cell of a grid.

    The grid is the finest that leaves few enough; of a cell the member with the least sum of
    objectives, each over the front's span, stays.
    """
    if len(front.choices) <= most:
        return front
    low, high = front.objectives.min(axis=0), front.objectives.max(axis=0)
    scaled = (front.objectives - low) / np.where(high > low, high - low, 1.0)
    order = np.argsort(scaled.sum(axis=1), kind="stable")
    cells = 1 << 10
    while cells:
        _, first = np.unique(
            np.floor(scaled[order] * cells).astype(np.int64), axis=0, return_index=True
        )
        if len(first) <= most:
            rows = np.sort(order[first])
            return Front(front.choices[rows], front.objectives[rows])
        cells = cells * 4 // 5
    return Front(front.choices[order[:1]], front.objectives[order[:1]])


def reference_point(front: Front) -> Floats:
    """Return the reference for hypervolumes: the worst of the front in every objective.

    It is the tightest point that the front spans, so a share of the hypervolume is not flattered
    by empty space around the front.
    """
    return np.asarray(front.objectives.max(axis=0))
