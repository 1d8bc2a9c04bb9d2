"""The exact front of a space that can be enumerated."""

import numpy as np
import pytest

from repvit_nas.searching.exact import exact_front, shares
from repvit_nas.searching.front import Front, non_dominated


def test_the_exact_front_is_that_of_brute_force(make_problem):
    problem = make_problem()
    everything = np.concatenate(list(problem.space.enumerate()))
    scores = problem.score(everything)
    objectives = problem.objectives(scores)[scores.feasible]

    exact = exact_front(problem)

    assert exact.objectives == pytest.approx(objectives[non_dominated(objectives)])


def front(*objectives):
    """A front of given objectives, whose networks do not matter."""
    return Front(np.zeros((len(objectives), 1), dtype=np.intp), np.array(objectives, dtype=float))


def test_shares_are_of_the_area_that_the_exact_front_dominates():
    """Below (3, 3), (1, 1) dominates 2 by 2 and the ends nothing; (1, 2) dominates 2 by 1."""
    exact = front((0, 3), (1, 1), (3, 0))
    found = shares(exact, front((1, 2)), front((1, 1)))

    assert found.improved == pytest.approx(1.0)
    assert found.optuna == pytest.approx(2 / 4)


@pytest.mark.parametrize(("other", "share"), [((1, 2), 1.0), ((1, 3), 0.0)])
def test_of_a_single_network_a_front_holds_all_or_nothing(other, share):
    found = shares(front((1, 2)), front(other), front((1, 2)))

    assert (found.optuna, found.improved) == (share, 1.0)
