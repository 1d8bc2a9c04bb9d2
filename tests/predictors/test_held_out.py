"""A predictor beside its baselines, on networks that no fit saw."""

import msgspec

from repvit_nas.predictors.fit_measured import assumptions_for, learn
from repvit_nas.predictors.held_out import evaluate, learning_curve
from repvit_nas.predictors.metrics import ISOLATED, MACS, PARAMS, PREDICTOR


def test_the_evaluation_compares_with_the_baselines(table, learning):
    found = evaluate("a title", table, learning.predictor, table.networks("held_out"))

    assert set(found.scores) == {PREDICTOR, ISOLATED, MACS, PARAMS}
    assert found.scores[PREDICTOR].rmspe < found.scores[MACS].rmspe < found.scores[PARAMS].rmspe
    # Every lone unit pays for a call and for its input and output.
    assert found.scores[ISOLATED].bias > 2
    assert found.noise_floor == 1.0
    assert len(found.checks) == 20
    assert 60 <= found.coverage <= found.coverage_with_noise
    assert found.coverage_with_noise >= 80


def test_more_units_lower_the_error_and_another_device_helps_early(table):
    """The other device is the same one, 30 times as fast: there is little left to learn."""
    faster = msgspec.structs.replace(
        table,
        rows=tuple(
            msgspec.structs.replace(
                row,
                latency_ms=row.latency_ms / 30,
                sd_ms=row.sd_ms / 30,
                low_ms=row.low_ms / 30,
                high_ms=row.high_ms / 30,
            )
            for row in table.rows
        ),
    )
    base = learn(faster, assumptions_for(faster)).predictor

    curve = learning_curve(table, assumptions_for(table), {"faster": base})

    assert [point.units for point in curve] == [25, 50, 80]
    assert curve[-1].rmspe <= curve[0].rmspe
    assert curve[0].transferred["faster"] < curve[0].rmspe
