"""Which networks of a front are worth a file, and how an impossible budget is told."""

import numpy as np
import pytest

from repvit_nas.searching.front import front_of
from repvit_nas.searching.winners import broken_limits, nearest, unbound, winners

# Shares of the budget, as the documents state them: 100 % down to 45 % in steps of five.
LEVELS = [share / 100 for share in range(100, 40, -5)]


def drawn(problem, number=400):
    return problem.space.sample(np.random.default_rng(0), number)


def test_a_winner_is_the_best_that_a_share_of_the_budget_allows(make_problem):
    problem = make_problem(budgets_ms={"iphone12": 0.9})
    front = front_of(problem, drawn(problem))
    latencies = problem.score(front.choices).latency_ms[:, 0]
    wanted = []
    for level in LEVELS:
        within = np.flatnonzero(latencies <= level * 0.9)
        if len(within):
            wanted.append(int(within[front.objectives[within, -1].argmin()]))

    assert winners(problem, front).tolist() == list(dict.fromkeys(wanted))
    assert unbound(problem, front) == {}


def test_a_budget_that_nothing_comes_near_has_winners_over_what_the_front_spans(make_problem):
    problem = make_problem(budgets_ms={"iphone12": 50.0})
    front = front_of(problem, drawn(problem))
    latencies = problem.score(front.choices).latency_ms[:, 0]

    found = winners(problem, front)

    assert latencies[found[0]] == latencies.max()
    assert latencies[found[-1]] == latencies.min()
    assert unbound(problem, front) == {"iphone12": pytest.approx(latencies.max(), abs=1e-4)}


def test_the_nearest_to_an_impossible_budget_is_the_fastest_there_is(make_problem):
    problem = make_problem(budgets_ms={"iphone12": 0.01})
    everything = np.concatenate(list(problem.space.enumerate()))
    scores = problem.score(everything)
    # The last columns of the violations are the space's own rules.
    allowed = scores.violations[:, 1:].max(axis=1) <= 0
    fastest = scores.latency_ms[allowed, 0].min()

    found = nearest(problem, drawn(problem, 50))

    assert problem.score(found).latency_ms[0, 0] == pytest.approx(fastest, rel=0.02)


def test_broken_limits_say_what_there_is_and_what_is_allowed(make_problem):
    problem = make_problem(budgets_ms={"iphone12": 0.01}, max_params_m=1000.0)
    network = drawn(problem, 1)
    latency = problem.score(network).latency_ms[0, 0]

    told = broken_limits(problem, network)

    assert told[0].startswith(f"{latency:.4g} ms on iphone12 (")
    assert told[0].endswith("over the 0.01 allowed")
    assert not any("parameters" in line for line in told)
