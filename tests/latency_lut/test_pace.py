"""A machine that is slower for stretches: what all programs share is its pace, the rest is theirs."""

import numpy as np
import pytest

from repvit_nas.latency_lut.pace import at_usual_pace, slowness, steadiest
from repvit_nas.latency_lut.plan import Plan
from repvit_nas.latency_lut.statistics import Statistic
from repvit_nas.latency_lut.table import build_table
from repvit_nas.latency_lut.terms import plan_terms
from repvit_nas.latency_lut.visits import Visit
from repvit_nas.programs import chain, network
from repvit_nas.search_space.family import family
from repvit_nas.units import Ffn

ROUNDS, PROGRAMS = 8, 60
UNITS = tuple(Ffn(16 * k, 32 * k, 14) for k in range(1, PROGRAMS // 2 + 1))
M0_9, M1_0, M1_1 = (family()[f"repvit_m{name}"].architecture for name in ("0_9", "1_0", "1_1"))
PLAN = Plan(
    seed=0, resolution=224, lengths=(2, 6), sentinel=M1_1, calibration=(M0_9,), held_out=(M1_0,),
    isolated=False, wanted=len(UNITS), explored=True, units=UNITS,
)  # fmt: skip
TRUTH = {
    chain(unit, k).key: 0.1 * k * (1 + place / 10)
    for place, unit in enumerate(UNITS)
    for k in (2, 6)
}
TRUTH |= {network(M0_9).key: 9.0, network(M1_0).key: 10.0}


def stretches(rng, size):
    """Return a pace that wanders by 3 % with a memory of some 20 visits, `(size,)`."""
    steps, found = rng.standard_normal(size), np.zeros(size)
    for place in range(1, size):
        found[place] = 0.95 * found[place - 1] + np.sqrt(1 - 0.95**2) * steps[place]
    return np.exp(0.03 * found)


def session(rng, pace, noise=0.003):
    """Return rounds of visits in shuffled order on a machine of some pace, and the pace."""
    visits = []
    factors = pace(rng, ROUNDS * len(TRUTH))
    for number in range(ROUNDS):
        for position, key in enumerate(rng.permutation(list(TRUTH))):
            slower = factors[len(visits)]
            calls = slower * TRUTH[key] * np.exp(noise * rng.standard_normal(12))
            visits.append(Visit(number, position, str(key), (), tuple(calls.tolist()), 1.0))
    return visits, factors


def moments(rng, size):
    """Return a machine that others disturb for moments: every third visit takes up to twice as long."""
    return np.where(rng.random(size) < 0.35, 1 + rng.random(size), 1.0)


def test_what_programs_share_is_the_pace():
    visits, factors = session(np.random.default_rng(0), stretches)
    paced = at_usual_pace(visits)

    found = [
        before.samples[0] / after.samples[0]
        for before, after in zip(visits, paced.visits, strict=True)
    ]
    assert np.corrcoef(np.log(found), np.log(factors))[0, 1] > 0.85
    assert paced.moved == pytest.approx(np.std(np.log(factors)), rel=0.3)


def test_a_visit_takes_no_part_in_its_own_factor():
    """Else a single late visit would be taken back in part, and noise would look like agreement."""
    latency = np.ones(200)
    latency[100] = 2.0
    program, number = np.arange(200) % 20, np.arange(200) // 20

    assert slowness(latency, program, number) == pytest.approx(np.ones(200))


def test_programs_that_were_seldom_visited_say_nothing():
    assert slowness(np.array([1.0, 2.0, 4.0]), np.arange(3), np.zeros(3, int)).tolist() == [1, 1, 1]
    assert at_usual_pace([]) == ([], 0.0)


def test_visits_of_one_round_do_not_tell_what_a_program_usually_takes():
    """A sentinel has five in each: it would show what it takes then, and nothing of what it does else."""
    latency = np.array([1.0, 1.0, 1.2, 1.2, 1.0, 1.0])

    assert slowness(latency, np.zeros(6, int), np.repeat([0, 1], 3)).tolist() == [1] * 6


def test_a_table_is_corrected_where_that_is_worth_more_than_as_many_rounds_again():
    """The errors of units fall by more than the square root of 2; rows say what was divided by."""
    misses = {}
    for seed in range(3):
        visits, factors = session(np.random.default_rng(seed), stretches)
        table = build_table("here", PLAN, visits)
        assert table.pace == pytest.approx(np.std(np.log(factors)), rel=0.35)
        raw = {
            key: np.median(
                [np.quantile(v.samples, table.statistic) for v in visits if v.key == key]
            )
            for key in TRUTH
        }
        for row in table.units:
            true = 0.1 * (1 + UNITS.index(row.unit) / 10)
            long, short = (raw[chain(row.unit, k).key] for k in (6, 2))
            misses.setdefault("paced", []).append(row.latency_ms / true - 1)
            misses.setdefault("raw", []).append((long - short) / 4 / true - 1)

    paced, raw = (np.std(misses[name]) for name in ("paced", "raw"))
    assert paced < raw / np.sqrt(2)


def test_a_machine_that_is_disturbed_for_moments_is_left_to_a_low_quantile():
    visits, _ = session(np.random.default_rng(0), moments)

    known, _ = steadiest(visits, plan_terms(PLAN, TRUTH))

    assert known.pace == 0.0
    for key, true in TRUTH.items():
        assert np.quantile(known.timed(key), known.across) == pytest.approx(true, rel=0.02)


def test_figures_are_compared_as_they_were_taken():
    """Whatever repeats better: what was timed is compared with a table of the same kind of figures."""
    stretched, _ = session(np.random.default_rng(0), stretches)
    disturbed, _ = session(np.random.default_rng(0), moments)
    asked = plan_terms(PLAN, TRUTH)
    at_pace = build_table("here", PLAN, stretched).chosen
    as_timed = build_table("here", PLAN, disturbed).chosen

    assert (at_pace.paced, as_timed.paced) == (True, False)
    assert steadiest(disturbed, asked, at_pace).figures.pace > 0
    assert steadiest(stretched, asked, as_timed).figures.pace == 0
    assert steadiest(stretched, asked, Statistic(0.0, 0.5)).figures.pace > 0


def test_two_rounds_are_never_corrected():
    visits, _ = session(np.random.default_rng(0), stretches)
    two = [visit for visit in visits if visit.round < 2]

    known, _ = steadiest(two, plan_terms(PLAN, TRUTH), Statistic(0.0, 0.0, paced=True))

    assert known.pace == 0
