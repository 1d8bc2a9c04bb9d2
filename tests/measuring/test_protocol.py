import gc
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repvit_nas.measuring.protocol import order_of_round, undisturbed, visit, warm_up


def answering(samples):
    """Return a loaded program that takes the milliseconds given, one after the other."""
    left = iter(samples)
    return lambda count: [next(left) for _ in range(count)]


def test_warm_up_ends_when_the_calls_no_longer_get_faster():
    samples = warm_up(answering([9.0, 4.0, 2.0, 1.0, 1.0, 1.0]), target_ms=100)

    assert samples == [9.0, 4.0, 2.0, 1.0, 1.0]


def test_a_steady_program_needs_two_calls():
    assert warm_up(answering([1.0, 1.0, 1.0]), target_ms=100) == [1.0, 1.0]


def test_a_first_call_that_compiles_does_not_end_the_warm_up():
    samples = warm_up(answering([400.0, *(1 + 2 * 0.5**k for k in range(99))]), target_ms=60)

    assert 7 <= len(samples) <= 12
    assert samples[-1] < 1.1


def test_warm_up_gives_up_on_calls_that_never_settle():
    assert len(warm_up(answering(0.9**k for k in range(99)), target_ms=1e9)) == 12
    assert len(warm_up(answering(10 * 0.9**k for k in range(99)), target_ms=40)) == 4


def test_a_visit_times_about_as_long_as_asked():
    def timed(milliseconds, beside_ms=0.0):
        _, samples = visit(answering([milliseconds] * 99), target_ms=60, beside_ms=beside_ms)
        return len(samples)

    assert (timed(2.0), timed(100.0), timed(0.01)) == (30, 4, 60)
    assert (timed(2.0, 1.0), timed(0.01, 3.0)) == (20, 20)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(ValueError, match="milliseconds above 0"):
        visit(answering([1.0, 1.0, 1.0, value] + [1.0] * 99), target_ms=60)


def test_the_garbage_collector_rests_and_comes_back():
    with undisturbed():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), undisturbed():
        raise KeyError
    assert gc.isenabled()


@given(st.integers(0, 40), st.integers(0, 5), st.integers(0, 3))
def test_a_round_visits_everything_once_and_the_sentinel_throughout(count, number, seed):
    keys = [f"p{k}" for k in range(count)]

    order = order_of_round(keys, "sentinel", number, seed)

    assert sorted(key for key in order if key != "sentinel") == sorted(keys)
    assert order[0] == order[-1] == "sentinel"
    assert order.count("sentinel") == 5
    assert order == order_of_round(keys, "sentinel", number, seed)


def test_rounds_are_shuffled_differently():
    keys = [f"p{k}" for k in range(20)]

    assert order_of_round(keys, "s", 0, 0) != order_of_round(keys, "s", 1, 0)
