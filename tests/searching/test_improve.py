import itertools

import numpy as np
import pytest

from repvit_nas.searching import improve as improving
from repvit_nas.searching.exact import exact_front, shares
from repvit_nas.searching.front import front_of, hypervolume, merged, reference_point
from repvit_nas.searching.improve import Neighbourhood, double_steps, improve, single_steps


def test_the_moves_are_all_changes_of_one_and_two_steps():
    """Against enumeration of all vectors with entries from -2 to 2 in three dimensions."""
    vectors = itertools.product(range(-2, 3), repeat=3)
    wanted = {v for v in vectors if 1 <= sum(map(abs, v)) <= 2}
    singles = {tuple(map(int, row)) for row in single_steps(3)}
    doubles = {tuple(map(int, row)) for row in double_steps(3)}

    assert singles == {v for v in wanted if sum(map(abs, v)) == 1}
    assert doubles == {v for v in wanted if sum(map(abs, v)) == 2}


def test_neighbours_lie_in_the_space_and_come_once(make_problem):
    problem = make_problem()
    around = Neighbourhood(problem, single_steps(len(problem.space.parameters)))
    corner = np.zeros((1, len(problem.space.parameters)), dtype=np.intp)
    free = sum(len(p.values) > 1 for p in problem.space.parameters)

    first = around.around(corner)

    assert len(first) == free  # only upwards from the corner
    assert (np.abs(first - corner).sum(axis=1) == 1).all()
    assert (first < problem.space.radix).all()
    assert len(around.around(corner)) == 0


def test_improvement_ends_where_no_neighbour_helps(make_problem):
    """From one poor network: every one- and two-step neighbour of the result is no improvement."""
    problem = make_problem()
    start = front_of(problem, problem.space.sample(np.random.default_rng(0), 5))

    improved = improve(problem, start).front

    steps = np.vstack(
        [single_steps(len(problem.space.parameters)), double_steps(len(problem.space.parameters))]
    )
    around = (improved.choices[:, None] + steps).reshape(-1, steps.shape[1])
    inside = ((around >= 0) & (around < problem.space.radix)).all(axis=1)
    objectives, feasible = problem.objectives_at(around[inside])
    for candidate in objectives[feasible]:
        assert (improved.objectives <= candidate).all(axis=1).any()


def test_improvement_reaches_the_exact_front_of_a_small_space(make_problem):
    problem = make_problem()
    start = front_of(problem, problem.space.sample(np.random.default_rng(1), 20))

    exact = exact_front(problem)
    reached = shares(exact, start, improve(problem, start).front)

    assert reached.optuna < reached.improved
    assert reached.improved >= 0.999
    reference = reference_point(exact)
    assert reached.optuna == pytest.approx(
        hypervolume(start.objectives, reference) / hypervolume(exact.objectives, reference)
    )


def test_improvement_of_nothing_is_nothing(make_problem):
    problem = make_problem(budgets_ms={"iphone12": 0.01})
    start = front_of(problem, problem.space.sample(np.random.default_rng(1), 20))

    assert len(improve(problem, start, start).front.choices) == 0


def test_several_devices_have_a_front_in_three_objectives(make_problem):
    problem = make_problem(budgets_ms={"iphone12": 0.9, "iphone13": 0.8})
    start = front_of(problem, problem.space.sample(np.random.default_rng(1), 50))

    improved = improve(problem, start).front
    exact = exact_front(problem)

    assert improved.objectives.shape[1] == 3
    assert shares(exact, start, improved).improved >= 0.999


def test_improvement_tells_how_far_it_is_and_heeds_the_clock(make_problem):
    problem = make_problem("repvit")
    start = front_of(problem, problem.space.sample(np.random.default_rng(0), 3000))
    told = []

    improve(problem, start, timeout_s=0.5, progress=lambda *told_now: told.append(told_now))
    stopped = improve(problem, start, timeout_s=0.0)

    assert told[0][0] == 0
    assert max(done for done, _ in told) > 0
    assert all(done < known for done, known in told)
    assert np.array_equal(stopped.front.choices, start.choices)
    assert stopped.late_gain is None


def test_a_stopped_improvement_says_what_its_second_half_found(make_problem):
    """At least as much as it found then is left, if it is stopped while much is still found."""
    problem = make_problem("repvit")
    start = front_of(problem, problem.space.sample(np.random.default_rng(0), 300))

    stopped = improve(problem, start, timeout_s=0.3)

    assert stopped.late_gain is not None
    reference = reference_point(stopped.front)
    gained = 1 - hypervolume(start.objectives, reference) / hypervolume(
        stopped.front.objectives, reference
    )
    assert 0 < stopped.late_gain <= gained


def test_what_thinning_leaves_out_is_on_the_front_all_the_same(make_problem, monkeypatch):
    problem = make_problem(budgets_ms={"iphone12": 0.9, "iphone13": 0.8})
    start = front_of(problem, problem.space.sample(np.random.default_rng(1), 400))
    whole = improve(problem, start).front

    monkeypatch.setattr(improving, "MOST", 10)
    found = improve(problem, start).front

    assert len(found.choices) > 10
    assert found.choices.dtype == whole.choices.dtype
    assert np.array_equal(found.objectives, merged(found).objectives)
    assert shares(whole, start, found).improved >= 0.9
