"""From modelled to measured: one fit of published, imported and measured latencies together."""

import math

import msgspec
import numpy as np
import pytest
from simulated import OVERHEAD_MS, simulated_table, true_cost_ms

from repvit_nas.latency_lut.observations import Observation
from repvit_nas.predictors.choose import random_networks
from repvit_nas.predictors.fit import design, fit, member_costs
from repvit_nas.predictors.learning import assumptions_for, beside_measured, beside_published, learn
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import load_space
from repvit_nas.units import count, rows

OFFSET = 1.08  # the papers' tool is slower as a whole than ours


def true_ms(network):
    return OVERHEAD_MS + sum(n * true_cost_ms(unit) for unit, n in count(rows(network)).items())


@pytest.fixture(scope="module")
def space():
    return load_space("repvit")[0]


@pytest.fixture(scope="module")
def table(space):
    return simulated_table(space, units=200, calibration=8, held_out=20)


@pytest.fixture(scope="module")
def published(space):
    """What papers print of the simulated phone: whole networks, off as a whole and by 2 % each."""
    rng = np.random.default_rng(3)
    networks = [entry.architecture for entry in family().values()]
    networks += random_networks(space, 20, seed=99, name="paper")
    return [
        Observation(
            name=network.name, network=network.name, family="repvit", resolution=224,
            units=tuple(count(rows(network)).items()),
            latency_ms=OFFSET * true_ms(network) * math.exp(0.02 * rng.standard_normal()),
            error_ms=0.003 * true_ms(network), tool="xcode-report", source="papers",
        )
        for network in networks
    ]  # fmt: skip


def error(predicted, networks):
    truth = np.array([true_ms(network) for network in networks])
    return float(np.sqrt(np.mean((np.array(predicted) / truth - 1) ** 2)))


@pytest.fixture(scope="module")
def errors(table, published):
    """Error on held-out networks, and half width of their intervals, by number of timed units."""
    held_out = [row.architecture for row in table.networks("held_out")]
    assumptions = assumptions_for(table)
    members = fit(design(published, assumptions.forms, assumptions.errors, assumptions.columns))
    modelled = []
    for network in held_out:
        counted = count(rows(network))
        costs = member_costs(members, list(counted), assumptions.columns)
        totals = np.array(list(counted.values())) @ costs
        modelled.append(float(np.mean(totals + [member.overhead_ms for member in members])))
    found = {0: (error(modelled, held_out), math.nan)}
    for units in (20, 50, 100, 200):
        predictor = learn(table, assumptions, units=units, published=published).predictor
        estimates = [predictor.estimate(network) for network in held_out]
        width = float(np.mean([(e.high_ms - e.low_ms) / 2 / e.latency_ms for e in estimates]))
        found[units] = (error([e.latency_ms for e in estimates], held_out), width)
    return found


def test_measuring_moves_the_error_as_it_should(errors):
    share = {units: value for units, (value, _) in errors.items()}

    assert share[0] > 0.05  # the papers' own offset is all that is known
    assert share[20] < share[0] / 2
    assert share[50] < 1.1 * share[20]
    assert share[200] < share[20]
    assert share[100] < 0.02
    assert share[200] < 0.015


def test_intervals_shrink(errors):
    width = {units: value for units, (_, value) in errors.items() if units}

    assert width[200] < width[20]
    assert width[200] < 0.04


def test_networks_alone_improve_the_modelled_fit(table, published):
    """Without any chain, a few timed networks show how far the papers' figures are off as a whole."""
    held_out = [row.architecture for row in table.networks("held_out")]
    assumptions = assumptions_for(table)
    # As the iPhone's own assumptions have it.
    misfit = {**assumptions.errors.misfit, "repvit": 0.015}
    errors = msgspec.structs.replace(assumptions.errors, misfit=misfit)
    timed = beside_published(table.networks("calibration"), published)

    def missed(seen, errors):
        members = fit(design(seen, assumptions.forms, errors, assumptions.columns))
        totals = []
        for network in held_out:
            counted = count(rows(network))
            costs = member_costs(members, list(counted), assumptions.columns)
            each = np.array(list(counted.values())) @ costs
            totals.append(float(np.mean(each + [member.overhead_ms for member in members])))
        return np.array(totals) / [true_ms(network) for network in held_out] - 1

    before = missed(published, errors)
    found = {n: missed([*published, *timed[:n]], beside_measured(errors)) for n in (1, 3, 8)}

    assert before.mean() > 0.05
    assert abs(found[1].mean()) < before.mean()
    assert abs(found[3].mean()) < 0.5 * before.mean()
    assert abs(found[8].mean()) < 0.02
    # What is left is what no physical form explains of the simulated device: units, not a whole.
    assert np.sqrt(np.mean(found[8] ** 2)) < 0.65 * np.sqrt(np.mean(before**2))
    assert found[8].std() < 1.1 * before.std()


def test_a_network_that_was_published_too_keeps_its_name(table, published):
    (row, *_) = table.networks("calibration")
    named = msgspec.structs.replace(row, architecture=family()["repvit_m0_9"].architecture)

    (same, other) = beside_published([named, row], published)

    assert same.network == "repvit_m0_9"
    assert other.network not in {item.network for item in published}
    assert {same.family, other.family} == {"repvit"}
    assert {same.tool, other.tool} == {"table"}


def test_every_unit_that_was_timed_is_measured(table, published):
    predictor = learn(table, assumptions_for(table), units=50, published=published).predictor
    timed = [row.unit for row in table.units[:50]]

    assert {predictor.source([unit]) for unit in timed} == {"measured"}
    costs = predictor.unit_costs(timed).mean(axis=1) / predictor.file.measured.scale
    for row, cost in zip(table.units, costs, strict=False):
        if not row.calls:
            assert cost == pytest.approx(row.latency_ms, rel=0.02)


def test_a_table_has_no_offset_and_what_is_beside_it_has(table):
    errors = beside_measured(assumptions_for(table).errors)

    assert errors.offset["table"] == 0.0
    assert errors.offset["other"] >= 0.06
    assert errors.misfit["unit"] > errors.misfit["network"]
