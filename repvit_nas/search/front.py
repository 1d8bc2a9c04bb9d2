"""Pareto fronts and hypervolumes as functions of arrays; all objectives are minimised."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.search.problem import Problem
from repvit_nas.search_space.space import Choices
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


def reference_point(front: Front) -> Floats:
    """Return the reference for hypervolumes: the worst of the front in every objective.

    It is the tightest point that the front spans, so a share of the hypervolume is not flattered
    by empty space around the front.
    """
    return np.asarray(front.objectives.max(axis=0))
