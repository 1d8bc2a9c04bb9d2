import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repvit_nas.predictors.features import NAMES, columns, unit_features
from repvit_nas.predictors.residual import (
    NO_KERNEL,
    PRIOR_KERNEL,
    Kernel,
    covariance,
    fit_kernel,
    fit_residual,
    leave_one_out,
)
from repvit_nas.units import Block

BLOCKS = [Block(8 * w, 16 * w, 0, 3, s) for w in range(4, 20, 2) for s in (14, 28)]


def test_the_kernel_is_scikit_learns():
    from sklearn.gaussian_process.kernels import Matern

    features = unit_features(BLOCKS)
    lengths = np.array(PRIOR_KERNEL.lengths)

    ours = covariance(PRIOR_KERNEL, features / lengths, features / lengths)

    theirs = PRIOR_KERNEL.deviation**2 * Matern(lengths, nu=2.5)(features)
    assert ours == pytest.approx(theirs, abs=1e-9)


def truth(units):
    features = unit_features(units)
    return 0.2 * np.sin(features[:, columns(["channels"])[0]] * 2) + 0.05 * features[:, 7]


def drawn(units, noise=0.01, members=200):
    log_ratio = np.repeat(truth(units)[:, None], members, axis=1)
    return fit_residual(PRIOR_KERNEL, unit_features(units), log_ratio, np.full(len(units), noise))[
        0
    ]


def test_draws_are_the_posterior_of_the_gaussian_process():
    """Mean and deviation against scikit-learn's, inside, between and outside the measured units."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    kernel = ConstantKernel(PRIOR_KERNEL.deviation**2) * Matern(
        np.array(PRIOR_KERNEL.lengths), nu=2.5
    )
    error = 0.01**2 + PRIOR_KERNEL.noise**2
    exact = GaussianProcessRegressor(kernel, alpha=error, optimizer=None)
    exact.fit(unit_features(BLOCKS), truth(BLOCKS))
    asked = unit_features(
        [Block(40, 80, 0, 3, 14), Block(72, 160, 0, 3, 20), Block(256, 1024, 16, 7, 56)]
    )

    draws = drawn(BLOCKS, members=2000).evaluate(asked)

    mean, deviation = exact.predict(asked, return_std=True)
    assert draws.mean(axis=1) == pytest.approx(mean, abs=0.03)
    assert draws.std(axis=1) == pytest.approx(deviation, rel=0.25, abs=0.01)


def test_draws_agree_where_units_were_timed_and_part_away_from_them():
    residual = drawn(BLOCKS)

    near = residual.evaluate(unit_features(BLOCKS)).std(axis=1)
    far = residual.evaluate(unit_features([Block(320, 1280, 16, 7, 112)])).std(axis=1)

    assert near.max() < 0.05
    assert far[0] > 0.15


def test_evaluation_in_batches_is_evaluation():
    residual = drawn(BLOCKS, members=8)
    features = unit_features(BLOCKS)
    whole = residual.evaluate(features)

    assert residual.evaluate(features, batch=3) == pytest.approx(whole)
    assert residual.evaluate(features[:0], batch=3).shape == (0, 8)


def test_what_a_group_is_off_in_common_is_the_exact_posterior():
    """Against the closed form: a Gaussian process, one offset for half of the units, and noise."""
    members, deviation, noise = 4000, 0.06, 0.01
    inside = np.arange(len(BLOCKS)) % 2.0
    log_ratio = truth(BLOCKS) + 0.05 * inside
    features = unit_features(BLOCKS) / np.array(PRIOR_KERNEL.lengths)
    error = np.eye(len(BLOCKS)) * (noise**2 + PRIOR_KERNEL.noise**2)
    total = covariance(PRIOR_KERNEL, features, features) + error
    total += deviation**2 * np.outer(inside, inside)
    weights = deviation**2 * np.linalg.solve(total, inside)

    _, common = fit_residual(
        PRIOR_KERNEL, unit_features(BLOCKS), np.repeat(log_ratio[:, None], members, axis=1),
        np.full(len(BLOCKS), noise), offsets=[(inside, deviation)],
    )  # fmt: skip

    assert not common[inside == 0].any()
    off = common[inside == 1]
    assert np.ptp(off, axis=0).max() < 1e-9  # one draw for all of the group
    left = deviation**2 - deviation**2 * weights @ inside
    assert off[0].mean() == pytest.approx(weights @ log_ratio, abs=0.002)
    assert off[0].std() == pytest.approx(np.sqrt(left), rel=0.1)
    assert off[0].mean() > 0.02  # like units of the other half tell a part of it


def test_without_a_kernel_nothing_is_said_of_other_units():
    log_ratio = np.full((len(BLOCKS), 50), 0.4)
    inside = np.ones(len(BLOCKS))

    residual, common = fit_residual(
        NO_KERNEL,
        unit_features(BLOCKS),
        log_ratio,
        np.full(len(BLOCKS), 0.01),
        offsets=[(inside, 0.06)],
    )

    assert not residual.evaluate(unit_features(BLOCKS)).any()
    assert common[0].std() == pytest.approx(0.06, rel=0.3)
    assert common[0].mean() == pytest.approx(0.0, abs=1e-9)


def test_the_kernel_finds_which_features_matter():
    """Costs that depend on width alone: its length is short, that of the switches long."""
    rng = np.random.default_rng(0)
    units = [
        Block(8 * int(w), 8 * int(h), 8 * int(g), 3, 14)
        for w, h, g in zip(
            rng.integers(4, 40, 80), rng.integers(8, 80, 80), rng.integers(0, 2, 80), strict=True
        )
    ]

    kernel = fit_kernel(unit_features(units), truth(units), np.full(80, 0.01))

    lengths = dict(zip(kernel.features, kernel.lengths, strict=True))
    assert lengths["channels"] < lengths["se"]
    assert lengths["channels"] < lengths["inner"]
    assert 0.03 < kernel.deviation < 2.1


def test_leaving_one_out_is_refitting_without_it():
    noise = np.full(len(BLOCKS), 0.02)
    ratio = truth(BLOCKS) - truth(BLOCKS).mean()

    missed = leave_one_out(PRIOR_KERNEL, unit_features(BLOCKS), ratio, noise)

    for left_out in (0, 5, 11):
        others = [k for k in range(len(BLOCKS)) if k != left_out]
        scaled = unit_features(BLOCKS) / np.array(PRIOR_KERNEL.lengths)
        total = covariance(PRIOR_KERNEL, scaled[others], scaled[others])
        total += np.diag(noise[others] ** 2 + PRIOR_KERNEL.noise**2)
        weights = np.linalg.solve(total, ratio[others])
        predicted = covariance(PRIOR_KERNEL, scaled[[left_out]], scaled[others]) @ weights
        assert missed[left_out] == pytest.approx(ratio[left_out] - predicted[0], abs=1e-9)


@given(st.permutations(NAMES))
def test_features_of_another_version_are_refused(names):
    if tuple(names) == NAMES:
        return
    with pytest.raises(ValueError, match="features must be stem, block"):
        Kernel(tuple(names), 0.1, PRIOR_KERNEL.lengths, 0.01)
