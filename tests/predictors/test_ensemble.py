import numpy as np
import pytest

from repvit_nas.latency_lut.observations import Observation
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.ensemble import (
    OVERHEAD_MS,
    design,
    fit,
    relative_covariance,
)
from repvit_nas.predictors.physical import CostForm, FormGrid, features, member_costs, tabulate
from repvit_nas.search_space import load_space
from repvit_nas.units import count, rows

TRUTH = CostForm("memory", 5.5, 34.1, 100.0, 1.5, "whole", 1)
GRID = FormGrid(
    ("memory", "none", "all"), (5.5, 8.0), (34.1,), (100.0,), (1.5,), ("whole",), (1, 16)
)
COEFFICIENTS = np.array([0.9, 0.4, 1.1, 0.3, 1.0, 0.8])


def errors(**changes):
    values = {
        "repeat": 0.001,
        "misfit": {"other": 0.0},
        "shared": {"other": 0.0},
        "offset": {"other": 0.0},
        "large": 0.0,
        "variants": 0.9,
    }
    return ErrorModel(**values | changes)


def assumed(errors, **changes):
    return Assumptions(forms=GRID, errors=errors, **changes)


def observations(number, *, noise=0.0, seed=0, scale=1.0):
    """Networks of the space with latencies of a known model."""
    rng = np.random.default_rng(seed)
    space, _ = load_space("repvit")
    shapes = space.decode(space.sample(rng, number))
    made = []
    for row in range(number):
        units = count(rows(shapes.architecture(row)))
        table = tabulate(list(units))
        counts = np.array(list(units.values()))
        latency = 0.4 + float(counts @ (features(TRUTH, table) @ COEFFICIENTS))
        latency *= scale * np.exp(noise * rng.standard_normal())
        made.append(
            Observation(
                name=str(row),
                network=str(row),
                family=f"f{row % 4}",
                resolution=224,
                units=tuple(units.items()),
                latency_ms=latency,
                error_ms=0.0,
                tool="t",
                source="s",
            )
        )
    return made


def test_a_known_cost_is_recovered():
    """Latencies made from one form without noise: the ensemble predicts new networks exactly."""
    members = fit(design(observations(60), assumed(errors())), members=16)
    new = observations(40, seed=1)

    for item in new:
        units, counts = zip(*item.units, strict=True)
        predicted = np.array(counts) @ member_costs(members, units)
        predicted += np.array([member.overhead_ms for member in members])
        assert predicted.mean() == pytest.approx(item.latency_ms, rel=0.003)
    assert {member.form.overlap for member in members} == {"memory"}
    assert np.mean([member.overhead_ms for member in members]) == pytest.approx(0.4, rel=0.03)


def test_coefficients_are_never_negative():
    members = fit(design(observations(20, noise=0.3), assumed(errors(repeat=0.3))), members=32)

    for member in members:
        assert member.overhead_ms >= 0
        assert (member.coefficients >= 0).all()


def test_the_spread_covers_the_truth_and_shrinks_with_data():
    widths = []
    for number in (15, 60, 240):
        made = observations(number, noise=0.03)
        members = fit(design(made, assumed(errors(repeat=0.03))), members=48)
        covered, width = [], []
        for item in observations(60, seed=7):
            units, counts = zip(*item.units, strict=True)
            predicted = np.array(counts) @ member_costs(members, units)
            predicted += np.array([member.overhead_ms for member in members])
            width.append(predicted.std() / item.latency_ms)
            covered.append(abs(predicted.mean() - item.latency_ms) < 2.5 * predicted.std())
        widths.append(np.mean(width))
        assert np.mean(covered) > 0.85
    assert widths[0] > widths[1] > widths[2]


def test_a_common_error_does_not_pull_predictions_down():
    """All rows 5 % off together with one tool: the fit lands on them, not below.

    Correlated relative errors scaled by the figures would bias every prediction low.
    """
    made = observations(40)
    members = fit(design(made, assumed(errors(offset={"other": 0.3}, repeat=0.02))), members=16)
    ratios = []
    for item in made:
        units, counts = zip(*item.units, strict=True)
        predicted = (np.array(counts) @ member_costs(members, units)).mean()
        ratios.append((predicted + np.mean([m.overhead_ms for m in members])) / item.latency_ms)

    # The offset is drawn anew for each member, so the mean over 16 of them is within 0.3 / 4.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.2)


def observation(name="a", network="a", family="x", resolution=224, tool="t", source="s", error=0.0):
    return Observation(name, network, family, resolution, (), 1.0, error, tool, source)


def test_errors_are_shared_by_what_two_rows_share():
    model = errors(
        repeat=0.01,
        misfit={"other": 0.02, "x": 0.03},
        shared={"other": 0.04},
        offset={"other": 0.05, "exact": 0.0},
        large=0.06,
        variants=0.5,
    )
    one = observation()
    rows_ = [
        one,
        observation(name="a variant"),
        observation(name="b", network="b"),
        observation(name="c", network="c", family="y", source="other"),
        observation(name="d", network="d", family="z", tool="exact", resolution=512, error=0.07),
    ]

    covariance = relative_covariance(rows_, model)

    assert covariance[0, 0] == pytest.approx(0.01**2 + 0.03**2 + 0.04**2 + 0.05**2)
    assert covariance[0, 1] == pytest.approx(0.5 * 0.03**2 + 0.04**2 + 0.05**2)
    assert covariance[0, 2] == pytest.approx(0.04**2 + 0.05**2)
    assert covariance[0, 3] == 0.0
    assert covariance[4, 4] == pytest.approx(0.01**2 + 0.07**2 + 0.02**2 + 0.04**2 + 0.06**2)
    assert (covariance == covariance.T).all()
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_one_seed_gives_one_ensemble():
    problem = design(observations(20, noise=0.1), assumed(errors(repeat=0.1)))

    first, second, other = (fit(problem, seed=seed, members=8) for seed in (3, 3, 4))

    assert [m.form for m in first] == [m.form for m in second]
    assert all((a.coefficients == b.coefficients).all() for a, b in zip(first, second, strict=True))
    assert any((a.coefficients != b.coefficients).any() for a, b in zip(first, other, strict=True))


def test_the_overhead_is_a_feature_like_the_others():
    problem = design(observations(5), assumed(errors()))

    assert (problem.matrices[:, :, 0] == OVERHEAD_MS).all()
    assert problem.matrices.shape == (len(GRID.forms()), 5, 7)
