import numpy as np
import pytest

from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.architecture import with_output
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.shapes import shapes_of
from repvit_nas.units import rows


@pytest.mark.parametrize(
    ("space", "resolution", "classes", "output"),
    [
        ("repvit", None, 1000, "logits"),
        ("coarse", 512, 1000, "logits"),
        ("repvit", 320, 0, "logits"),
        ("coarse", 512, 0, "sam"),
        ("coarse", 1024, 0, "sam-fused"),
        (None, 161, 10, "logits"),
    ],
)
def test_array_prices_are_those_of_the_records(make_problem, space, resolution, classes, output):
    """Every score of random networks against the single-network functions."""
    problem = make_problem(space, resolution=resolution, num_classes=classes, output=output)
    choices = problem.space.sample(np.random.default_rng(0), 40)
    scores = problem.score(choices)
    shapes = problem.decode(choices)
    predictor = load_predictor("iphone12")[0]
    estimator = load_family_estimator()

    for row in range(len(choices)):
        architecture = shapes.architecture(row)
        units = rows(architecture)
        latency = predictor.estimate(architecture)
        # Maps are judged by the classifier of the same stages, at the estimator's own resolution.
        judged = architecture if classes else with_output(architecture, "logits", resolution=224)
        accuracy = estimator.estimate(shapes_of([judged]))
        width = latency.high_ms - latency.low_ms
        assert scores.latency_ms[row, 0] == pytest.approx(latency.latency_ms, rel=1e-9)
        assert scores.low_ms[row, 0] == pytest.approx(latency.low_ms, abs=0.01 * width)
        assert scores.high_ms[row, 0] == pytest.approx(latency.high_ms, abs=0.01 * width)
        assert scores.accuracy[row] == pytest.approx(accuracy.mean[0])
        assert scores.accuracy_std[row] == pytest.approx(accuracy.std[0])
        assert scores.macs[row] == sum(unit.macs for unit in units)
        assert scores.params[row] == sum(unit.params for unit in units)


def test_the_quick_objectives_are_those_of_the_scores(make_problem):
    for changes in ({}, {"confidence": 0.9}, {"risk": 2.0, "max_params_m": 4.0}):
        problem = make_problem(**changes)
        choices = problem.space.sample(np.random.default_rng(1), 300)
        scores = problem.score(choices)

        objectives, feasible = problem.objectives_at(choices)

        assert objectives == pytest.approx(problem.objectives(scores))
        assert feasible.tolist() == scores.feasible.tolist()


def test_risk_counts_accuracy_less_its_deviation(make_problem):
    choices = make_problem().space.sample(np.random.default_rng(2), 20)
    bold, careful = (make_problem(risk=risk).score(choices) for risk in (0.0, 2.0))

    assert make_problem(risk=0.0).objectives(bold)[:, 1] == pytest.approx(-bold.accuracy)
    assert make_problem(risk=2.0).objectives(careful)[:, 1] == pytest.approx(
        2 * careful.accuracy_std - careful.accuracy
    )


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({"budgets_ms": {"iphone12": 0.8}}, lambda s: s.latency_ms[:, 0] <= 0.8),
        ({"budgets_ms": {"iphone12": 0.8}, "confidence": 0.9}, lambda s: s.high_ms[:, 0] <= 0.8),
        ({"max_params_m": 4.5}, lambda s: s.params <= 4.5e6),
        ({"max_macs_g": 0.7}, lambda s: s.macs <= 0.7e9),
        ({"max_size_mb": 8.0}, lambda s: 2 * s.params <= 8.0e6),
        (
            {"budgets_ms": {"iphone12": 0.85, "iphone13": 0.7}},
            lambda s: (s.latency_ms[:, 0] <= 0.85) & (s.latency_ms[:, 1] <= 0.7),
        ),
    ],
)
def test_constraints_are_what_they_say(make_problem, changes, holds):
    problem = make_problem(**({"budgets_ms": {"iphone12": 100.0}} | changes))
    choices = problem.space.sample(np.random.default_rng(3), 500)
    scores = problem.score(choices)
    shapes = problem.space.decode(choices)
    expected = holds(scores) & (shapes.width[:, 0] <= shapes.width[:, 1])

    assert scores.feasible.tolist() == expected.tolist()
    assert 0 < expected.sum() < 500
    assert scores.violations.shape[1] == len(problem.constraint_names)


def test_no_rows_have_no_scores(make_problem):
    problem = make_problem()

    assert problem.score(
        np.zeros((0, len(problem.space.parameters)), dtype=np.intp)
    ).params.shape == (0,)
