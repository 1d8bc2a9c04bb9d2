import itertools
import time

import numpy as np
import pytest

from repvit_nas.accuracy.regression import Normal, condition, independent
from repvit_nas.accuracy.selection import choose, expected_regret


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    return independent(np.zeros(5), np.ones(5)), rng.standard_normal((12, 5))


def left_by_hand(effects, matrix, rows, beyond):
    """Return the weighted variance of the differences to the incumbent, by conditioning."""
    from scipy.special import ndtr

    mean = matrix @ effects.mean
    best = int(mean.argmax())
    away = matrix - matrix[best]
    weight = ndtr(
        (mean - mean[best])
        / np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", away, effects.covariance, away), 1e-12))
    )
    weight[best] = 0
    after = condition(
        effects, matrix[rows], np.zeros(len(rows)), np.full(len(rows), beyond)
    ).effects
    variance = np.einsum("ij,jk,ik->i", away, after.covariance, away)
    return float(weight**2 @ variance)


def test_the_choice_lowers_the_variance_of_differences_most(known):
    effects, matrix = known
    first = choose(effects, matrix, 0.5, 1)
    by_hand = [left_by_hand(effects, matrix, [row], 0.5) for row in range(12)]

    assert first[0] == np.argmin(by_hand)
    chosen = choose(effects, matrix, 0.5, 3)
    left = [left_by_hand(effects, matrix, chosen[:count], 0.5) for count in (1, 2, 3)]
    assert np.all(np.diff(left) < 0)
    pairs = [
        left_by_hand(effects, matrix, list(two), 0.5)
        for two in itertools.combinations(range(12), 2)
    ]
    assert left[1] <= 1.1 * min(pairs)


def test_nothing_is_chosen_twice(known):
    effects, matrix = known

    assert sorted(choose(effects, matrix, 0.5, 24)) == list(range(12))


def test_24_of_10000_are_chosen_within_seconds():
    rng = np.random.default_rng(1)
    effects = independent(np.zeros(45), np.ones(45))
    began = time.perf_counter()
    assert len(choose(effects, rng.standard_normal((10_000, 45)), 1.0, 24)) == 24
    assert time.perf_counter() - began < 10


def test_the_expected_regret_of_two_networks_is_that_of_a_normal_variable():
    # The mean of max(0, x) of a normal x of mean -1 and deviation 2: 2 phi(1/2) - Phi(-1/2)
    effects = Normal(np.array([1.0, 0.0]), np.diag([4.0, 0.0]))
    found = expected_regret(effects, np.array([[0.0, 1.0], [-1.0, 0.0]]))

    assert found == pytest.approx(0.3956, abs=0.08)
