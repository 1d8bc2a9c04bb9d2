import numpy as np
import pytest

from repvit_nas.accuracy.comparison import highest_tau, inside, kendall, rank


def test_tau_counts_pairs_in_order():
    # 5 of 6 pairs are in order, 1 is not
    assert kendall(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3])) == pytest.approx(4 / 6)
    assert kendall(np.ones(4), np.arange(4.0)) == 0


def test_a_perfect_ranking_has_no_regret_and_a_turned_one_the_whole():
    truth = np.arange(24.0)
    perfect, turned = rank(truth, truth), rank(-truth, truth)

    assert (perfect.tau, perfect.precision, perfect.regret) == (1, 1, 0)
    assert (turned.tau, turned.precision, turned.regret) == (-1, 0, 23)


def test_the_interval_is_that_of_the_networks():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(24)
    found = rank(truth + rng.standard_normal(24), truth)

    assert found.low < found.tau < found.high
    assert (found.high - found.low) / 3.29 == pytest.approx(0.15, abs=0.07)  # design: 0.15 at 24


def test_half_of_what_is_one_deviation_off_is_within_it():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(4000)

    assert inside(np.zeros(4000), np.ones(4000), truth).mean() == pytest.approx(0.9, abs=0.02)


def test_few_images_cap_tau():
    simulated = []
    rng = np.random.default_rng(0)
    for _ in range(40):
        truth = 70 + 0.4 * rng.standard_normal(200)
        seen = rng.binomial(1000, truth / 100) / 10
        simulated.append(kendall(seen, truth))

    assert highest_tau(1000, 70.0, 0.4) == pytest.approx(np.mean(simulated), abs=0.02)
    assert highest_tau(100_000, 70.0, 0.4) > 0.75
