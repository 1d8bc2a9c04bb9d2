import numpy as np
import pytest
from scipy.stats import multivariate_normal

from repvit_nas.accuracy.regression import Normal, condition, independent, line, predict


def problem(rows=7, effects=4, seed=0):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(effects, effects))
    prior = Normal(rng.normal(size=effects), half @ half.T + 0.1 * np.eye(effects))
    matrix = rng.normal(size=(rows, effects))
    return prior, matrix, rng.normal(size=rows), rng.uniform(0.1, 0.5, rows)


@pytest.mark.parametrize("rows", [1, 3, 20])
def test_the_posterior_is_the_textbook_one_in_precision_form(rows):
    """Bishop, PRML, eq. 3.50 and 3.51, for a prior of any covariance and noise of each row."""
    prior, matrix, response, noise = problem(rows)
    precision = np.linalg.inv(prior.covariance)
    covariance = np.linalg.inv(precision + matrix.T @ (matrix / noise[:, None]))
    mean = covariance @ (precision @ prior.mean + matrix.T @ (response / noise))

    effects = condition(prior, matrix, response, noise).effects

    assert effects.mean == pytest.approx(mean, abs=1e-9)
    assert effects.covariance == pytest.approx(covariance, abs=1e-9)


def test_the_evidence_is_the_density_of_the_responses():
    prior, matrix, response, noise = problem()
    density = multivariate_normal(
        matrix @ prior.mean, matrix @ prior.covariance @ matrix.T + np.diag(noise)
    )

    evidence = condition(prior, matrix, response, noise).log_evidence

    assert evidence == pytest.approx(density.logpdf(response))


def test_in_two_pieces_is_what_it_is_in_one():
    prior, matrix, response, noise = problem(9)
    first = condition(prior, matrix[:4], response[:4], noise[:4])
    second = condition(first.effects, matrix[4:], response[4:], noise[4:])

    whole = condition(prior, matrix, response, noise)

    assert second.effects.mean == pytest.approx(whole.effects.mean)
    assert second.effects.covariance == pytest.approx(whole.effects.covariance)
    assert first.log_evidence + second.log_evidence == pytest.approx(whole.log_evidence)


def test_noise_may_be_shared_between_rows():
    prior, matrix, response, noise = problem()

    apart = condition(prior, matrix, response, noise)
    together = condition(prior, matrix, response, np.diag(noise) + 0.5)

    assert condition(prior, matrix, response, np.diag(noise)).log_evidence == apart.log_evidence
    assert together.log_evidence != pytest.approx(apart.log_evidence)


def test_a_prediction_is_that_of_the_effects():
    prior, matrix, _, _ = problem()

    predicted = predict(line(prior), matrix)

    assert predicted.mean == pytest.approx(matrix @ prior.mean)
    assert predicted.variance == pytest.approx(np.diag(matrix @ prior.covariance @ matrix.T))


def test_an_effect_that_is_known_exactly_adds_nothing():
    known = independent(np.array([1.0, 2.0]), np.array([0.0, 0.5]))

    assert line(known).root.shape == (2, 1)
    assert predict(line(known), np.array([[3.0, 0.0]])).variance == pytest.approx(0.0)
