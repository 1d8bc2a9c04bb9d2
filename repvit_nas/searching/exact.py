"""The exact front of a space that can be enumerated: what a search is marked against."""

from collections.abc import Callable
from typing import NamedTuple

from repvit_nas.searching.front import Front, front_of, hypervolume, merged, reference_point
from repvit_nas.searching.problem import Problem


class Shares(NamedTuple):
    """Shares of the exact hypervolume.

    Attributes:
        optuna: Of the study's own front.
        improved: Of the front after local improvement.
    """

    optuna: float
    improved: float


def exact_front(problem: Problem, progress: Callable[[int], None] = lambda _: None) -> Front:
    """Return the front of all feasible networks of an enumerable space.

    Raises:
        RepvitNasError: The space is too large to be enumerated.
    """
    fronts: list[Front] = []
    done = 0
    for choices in problem.space.enumerate():
        fronts.append(front_of(problem, choices))
        done += len(choices)
        progress(done)
    return merged(*fronts)


def shares(exact: Front, optuna: Front, improved: Front) -> Shares:
    """Return how much of the exact front's hypervolume two fronts reach."""
    reference = reference_point(exact)
    whole = hypervolume(exact.objectives, reference)
    if whole == 0.0:  # a single network: a front either holds it or not
        same = exact.objectives.tolist()
        return Shares(
            float(optuna.objectives.tolist() == same), float(improved.objectives.tolist() == same)
        )
    return Shares(
        hypervolume(optuna.objectives, reference) / whole,
        hypervolume(improved.objectives, reference) / whole,
    )
