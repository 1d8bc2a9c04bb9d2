"""What whole networks take beside their units, and how far they scatter."""

import msgspec
import numpy as np
import pytest
from simulated import simulated_table

from repvit_nas.predictors.calibration import calibrate
from repvit_nas.predictors.fit_measured import assumptions_for, learn
from repvit_nas.predictors.metrics import predictions, scores
from repvit_nas.search_space import load_space
from repvit_nas.units import count, rows


class Sums:
    """Units whose costs are known, as two models that agree."""

    def totals(self, counted):
        return np.full(2, sum(times * unit.macs for unit, times in counted.items()) / 30e6)


def operations(network):
    return sum(times * len(unit.operations) for unit, times in count(rows(network)).items())


def in_networks(table, scale, operation_ms, scatter=0.0, seed=0):
    """Return the table with networks that take so much beside their units' sum."""
    rng = np.random.default_rng(seed)
    changed = []
    for row in table.networks("calibration"):
        truth = scale * Sums().totals(count(rows(row.architecture)))[0]
        truth += operation_ms * operations(row.architecture)
        latency = float(truth * np.exp(scatter * rng.standard_normal()))
        changed.append(
            msgspec.structs.replace(
                row, latency_ms=latency, sd_ms=1e-4 * latency, low_ms=latency, high_ms=latency
            )
        )
    return msgspec.structs.replace(table, rows=tuple(changed))


def calibrated(table):
    return calibrate(Sums(), table, table.networks("calibration"))


@pytest.fixture(scope="module")
def wide():
    return simulated_table(load_space("repvit")[0], units=8, calibration=40, held_out=2)


def test_what_an_operation_takes_more_is_told_from_what_everything_does(wide):
    found = calibrated(in_networks(wide, 1.04, 0.004, scatter=0.01))

    assert found.operation_ms == pytest.approx(0.004, rel=0.35)
    assert found.scale == pytest.approx(1.04, abs=0.03)
    assert found.misfit == pytest.approx(0.01, rel=0.3)


def test_no_operation_is_faster_in_a_network_than_in_a_chain(wide):
    found = calibrated(in_networks(wide, 1.1, -0.003))

    assert found.operation_ms == 0.0
    assert 0.9 < found.scale < 1.1


def test_no_unit_is_free_in_a_network(wide):
    """Networks that take less the more there is to compute would have a scale below 0, which no file has."""
    found = calibrated(in_networks(wide, -0.05, 0.08))

    assert found.operation_ms == 0.0
    assert 0 < found.scale < 1


def test_few_networks_have_one_scale(wide):
    table = in_networks(wide, 1.0, 0.02)
    seven = msgspec.structs.replace(table, rows=table.rows[:7])

    assert calibrated(seven).operation_ms == 0.0
    assert calibrated(table).operation_ms > 0.0


def test_a_network_takes_no_part_in_its_own_miss(wide):
    """Left out one by one, by hand: the misfit is what the others' line misses, the floor aside."""
    table = in_networks(wide, 1.0, 0.004, scatter=0.03)
    networks = table.networks("calibration")
    missed = []
    for row in networks:
        others = msgspec.structs.replace(table, rows=tuple(r for r in networks if r is not row))
        found = calibrated(others)
        fitted = found.scale * Sums().totals(count(rows(row.architecture)))[0]
        fitted += found.operation_ms * operations(row.architecture)
        missed.append(row.latency_ms / fitted - 1)

    assert calibrated(table).misfit == pytest.approx(np.sqrt(np.mean(np.square(missed))), rel=0.02)


def test_networks_that_take_more_for_each_operation_are_predicted():
    """Half a tenth of a usual network's latency: one scale alone misses long and short ones."""
    table = simulated_table(load_space("repvit")[0], units=120, calibration=20, held_out=20)
    longer = msgspec.structs.replace(
        table,
        rows=tuple(
            msgspec.structs.replace(
                row,
                latency_ms=row.latency_ms + 0.01 * operations(row.architecture),
                high_ms=row.high_ms + 0.01 * operations(row.architecture),
            )
            if hasattr(row, "role")
            else row
            for row in table.rows
        ),
    )

    def missed(seen):
        held_out = seen.networks("held_out")
        predictor = learn(seen, assumptions_for(seen)).predictor
        measured = np.array([row.latency_ms for row in held_out])
        return scores(measured, predictions(predictor, held_out)).rmspe

    assert missed(longer) < 1.25 * missed(table)
