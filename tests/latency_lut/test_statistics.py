import math

import numpy as np
import pytest

from repvit_nas.latency_lut.statistics import (
    Figures,
    Statistic,
    advice,
    drift,
    estimate,
    figures,
    noise_floor,
)


def visits_of(rng, *, spikes, rounds=6, programs=20, calls=12):
    """Return visits of programs of 1 ms: small noise, and spikes in a share of the calls."""
    return {
        f"p{k}": {
            r: 1 + 0.005 * rng.standard_normal(calls) ** 2 + (rng.random(calls) < spikes) * 0.5
            for r in range(rounds)
        }
        for k in range(programs)
    }


def test_the_statistic_is_the_one_that_repeats():
    """With spikes in a third of all calls the median jumps; low quantiles do not."""
    rng = np.random.default_rng(0)

    noisy = figures(visits_of(rng, spikes=0.35), {})

    assert noisy.statistic < 0.5
    assert noisy.variation[noisy.statistic] == min(noisy.variation.values())
    assert noisy.variation[0.5] > 2 * noisy.variation[noisy.statistic]


def test_drift_is_seen_in_the_sentinel_and_taken_out():
    """Round 2 runs 10 % slower: the sentinel shows it, every program is corrected."""
    factor = {0: 1.0, 1: 1.0, 2: 1.1, 3: 1.0}
    rng = np.random.default_rng(0)
    sentinel = {r: [f * (2 + 0.004 * rng.random(8)) for _ in range(3)] for r, f in factor.items()}
    visits = {"p": {r: [f * 5.0] * 8 for r, f in factor.items()}}

    known = figures(visits, sentinel)

    assert known.drift == pytest.approx([1.0, 1.0, 1.1, 1.0], abs=0.005)
    assert known.row("p") == pytest.approx([5.0] * 4, rel=0.005)


def test_noise_of_the_sentinel_is_not_taken_for_drift():
    rng = np.random.default_rng(0)
    sentinel = {r: [2 + 0.2 * rng.random(8) for _ in range(5)] for r in range(5)}

    factors = drift(sentinel, 5, 0.25)

    assert (factors == 1.0).sum() >= 4


def known_figures(table, across=0.5, repeat=0.001):
    rows = np.array(table, dtype=float)
    position = {f"p{k}": k for k in range(len(rows))}
    repeats = np.full(len(rows), repeat)
    return Figures(position, rows, 0.0, {0.0: 0.01}, np.ones(rows.shape[1]), across, repeats)


def test_a_slope_withstands_a_disturbed_round():
    short, long = [2.0, 2.0, 2.6, 2.0, 2.0], [6.0, 6.0, 6.0, 9.0, 6.0]

    for across in (0.0, 0.25, 0.5):
        found = estimate(known_figures([short, long], across), [("p0", -0.25), ("p1", 0.25)])

        assert found.value_ms == pytest.approx(1.0)
        assert found.rounds == 5
        assert found.low_ms <= 1.0 <= found.high_ms


def test_what_was_never_timed_has_no_figure():
    table = [[2.0, np.nan, 2.0], [6.0, 6.0, np.nan], [np.nan] * 3]

    assert estimate(known_figures(table), [("p0", -0.25), ("p1", 0.25)]).rounds == 2
    with pytest.raises(ValueError, match="each program must have been timed"):
        estimate(known_figures(table), [("p0", 1.0), ("p2", 1.0)])


def test_rounds_that_agree_by_chance_do_not_make_it_certain():
    found = estimate(known_figures([[2.0] * 5], repeat=0.03), [("p0", 1.0)])

    assert found.sd_ms == pytest.approx(0.06)


def test_the_interval_of_a_latency_holds_nine_times_in_ten():
    """200 sets of 8 noisy rounds around 10 ms."""
    rng = np.random.default_rng(1)
    inside = 0
    for k in range(200):
        rows = 10 * (1 + 0.01 * rng.standard_normal((1, 8)))
        found = estimate(known_figures(rows), [("p0", 1.0)], seed=k)
        inside += found.low_ms <= 10 <= found.high_ms

    assert 0.82 <= inside / 200 <= 1.0


def rounds_of(values):
    return {f"p{k}": {r: [v] * 5 for r, v in enumerate(row)} for k, row in enumerate(values)}


def test_where_noise_only_adds_the_fastest_round_is_taken():
    """Rounds are 10 ms and what an exponential adds; where noise goes both ways, the median."""
    rng = np.random.default_rng(0)
    adding = 10 * (1 + rng.exponential(0.1, (200, 8)))
    both = 10 * np.exp(0.01 * rng.standard_normal((200, 8)))

    slow, even = figures(rounds_of(adding), {}), figures(rounds_of(both), {})

    assert slow.across == 0.0
    assert even.across == 0.5
    # Of eight exponentials the least deviates by an eighth; up to twice that is claimed.
    assert 0.1 / 8 < slow.repeat[0] < 2 * 0.1 / 8
    # The median of eight deviates 1.1 to 1.2 times as much as their mean.
    assert even.repeat[0] == pytest.approx(0.01 * 8**-0.5 * 1.15, rel=0.15)


def test_kinds_of_programs_repeat_each_in_its_own_way():
    rng = np.random.default_rng(0)
    rows = np.vstack([10 * np.exp(s * rng.standard_normal((200, 8))) for s in (0.01, 0.05)])
    groups = {f"p{k}": "calm" if k < 200 else "wild" for k in range(400)}

    known = figures(rounds_of(rows), {}, groups=groups)

    assert known.repeat[0] < 0.3 * known.repeat[-1]
    assert len(set(known.repeat)) == 2


def test_a_statistic_can_be_given():
    rng = np.random.default_rng(0)
    known = figures(rounds_of(10 + rng.exponential(1, (50, 6))), {}, statistic=Statistic(0.25, 0.5))

    assert (known.statistic, known.across) == (0.25, 0.5)


def test_the_noise_floor_is_what_repetition_differs_by():
    """Rounds scatter by 4 %, the mean of 8 rounds by 1.4 %."""
    rng = np.random.default_rng(2)
    rows = 10 * np.exp(0.04 * rng.standard_normal((200, 8)))

    floor = noise_floor(known_figures(rows), [f"p{k}" for k in range(200)])

    # A median scatters 1.1 to 1.2 times as much as a mean.
    assert floor == pytest.approx(0.04 * 8**-0.5 * 1.15, rel=0.15)
    assert math.isnan(noise_floor(known_figures(rows[:, :1]), ["p0"]))
    assert math.isnan(noise_floor(known_figures(rows), []))


def test_a_noisy_machine_gets_advice():
    assert advice(0.005, 0.01) == ""
    assert "taskset" in advice(0.06, 0.01)
    assert "6.0%" in advice(0.06, 0.01)
