"""A device of a few networks shifts and scales the predictor of another one."""

import numpy as np
import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.published import PUBLISHED_FILE, read_observations
from repvit_nas.latency_lut.table import TABLE_FILE, read_table
from repvit_nas.predictors.fit_like import learn_like
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.predictors.table_observations import network_observations
from repvit_nas.search_space import family
from repvit_nas.units import count, rows


@pytest.fixture(scope="module")
def phone():
    return load_predictor("iphone12")[0]


@pytest.fixture(scope="module")
def timed():
    """Networks that were timed on a processor: nothing like a phone's Neural Engine."""
    table = read_table(load_device("cpu-epyc").path(TABLE_FILE))
    return network_observations(
        table, [*table.networks("calibration"), *table.networks("held_out")]
    )


def given(name, latency_ms, *, error_ms=0.01, tool="app"):
    units = tuple(count(rows(family()[name].architecture)).items())
    return Observation(name, name, "repvit", 224, units, latency_ms, error_ms, tool, "")


def inside(predictor, item):
    """Return whether an interval holds what was given, and the error as a share."""
    totals = predictor.totals(dict(item.units))
    mean = float(totals.mean())
    half = predictor.half_width(mean, float(totals.var()), 224)
    return abs(mean - item.latency_ms) <= half, abs(mean / item.latency_ms - 1)


def test_one_network_scales_the_other_device(phone):
    base = phone.estimate(family()["repvit_m1_0"].architecture)
    learning, said = learn_like("pixel8", [given("repvit_m1_0", 10 * base.latency_ms)], None, phone)
    found = learning.predictor.estimate(family()["repvit_m1_0"].architecture)

    assert said.times == pytest.approx(10, rel=0.01)
    assert found.latency_ms == pytest.approx(10 * base.latency_ms, rel=0.06)
    assert found.source == "modelled"
    # One network says little: the interval is far wider than that of the device with many.
    assert found.high_ms - found.latency_ms > 5 * (base.high_ms - base.latency_ms)
    assert said.error_percent is None
    assert said.checks[0].predicted_ms is None


def test_more_networks_narrow_the_interval_and_teach_the_device_its_own_balance(phone, timed):
    one, _ = learn_like("board", timed[:1], None, phone)
    many, _ = learn_like("board", timed[:20], None, phone)
    network = family()["repvit_m1_1"].architecture

    def error(learning):
        return np.mean([inside(learning.predictor, item)[1] for item in timed[20:]])

    def width(learning):
        found = learning.predictor.estimate(network)
        return (found.high_ms - found.latency_ms) / found.latency_ms

    assert width(many) < 0.7 * width(one)
    assert error(many) < error(one)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_intervals_hold_nine_times_in_ten_whatever_the_device_is_like(phone, timed, size):
    rng, held = np.random.default_rng(0), []
    for _ in range(4):
        chosen = rng.permutation(len(timed))
        learning, _ = learn_like("board", [timed[row] for row in chosen[:size]], None, phone)
        held += [inside(learning.predictor, timed[row])[0] for row in chosen[size:]]

    assert np.mean(held) >= 0.85


def test_published_latencies_of_another_phone_are_predicted_from_two(phone):
    rows_of = read_observations(load_device("iphone13").path(PUBLISHED_FILE))
    ours = [item for item in rows_of if item.family == "repvit" and item.resolution == 224]
    learning, _ = learn_like("iphone13-b", ours[:2], None, phone)

    assert all(inside(learning.predictor, item)[0] for item in ours[2:])


def test_each_network_is_predicted_by_a_fit_without_it(phone):
    """A wrong figure is far from what the others say, and does not make itself believable."""
    names = ["repvit_m0_9", "repvit_m1_0", "repvit_m1_1", "repvit_m1_5"]
    true = {name: 10 * phone.estimate(family()[name].architecture).latency_ms for name in names}
    wrong = true | {"repvit_m1_1": 2 * true["repvit_m1_1"]}
    _, said = learn_like("pixel8", [given(name, wrong[name]) for name in names], None, phone)
    by_name = {check.name: check for check in said.checks}

    assert by_name["repvit_m1_1"].predicted_ms == pytest.approx(true["repvit_m1_1"], rel=0.1)
    assert said.error_percent > 10


def test_what_another_tool_says_counts_less(phone):
    true = 10 * phone.estimate(family()["repvit_m1_0"].architecture).latency_ms
    ours = [given(name, 10 * phone.estimate(family()[name].architecture).latency_ms)
            for name in ("repvit_m0_9", "repvit_m1_5")]  # fmt: skip
    one, _ = learn_like("a", [*ours, given("repvit_m1_0", 1.4 * true)], None, phone)
    other, _ = learn_like("b", [*ours, given("repvit_m1_0", 1.4 * true, tool="other")], None, phone)
    network = family()["repvit_m1_0"].architecture

    assert other.predictor.estimate(network).latency_ms < one.predictor.estimate(network).latency_ms


def test_a_device_without_latencies_is_refused(phone):
    with pytest.raises(RepvitNasError, match="no latencies of its own yet.*import-latencies"):
        learn_like("pixel8", [], None, phone)
