"""Bayesian linear regression with a normal prior: pure functions on arrays.

    response = matrix @ effects + noise,    effects ~ N(mean, covariance),    noise ~ N(0, noise)

Every estimator of accuracy is this with features of its own: `family` on published results, and
whatever is trained afterwards with the family's effects as its prior. Conditioning in pieces gives
what conditioning on everything gives, so a posterior is the next prior.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from repvit_nas.shapes import Floats


class Normal(NamedTuple):
    """What is believed of `p` effects: mean `(p,)` and covariance `(p, p)`."""

    mean: Floats
    covariance: Floats


class Conditioned(NamedTuple):
    """Effects after seeing responses, and how likely the prior held these responses."""

    effects: Normal
    log_evidence: float


class Predicted(NamedTuple):
    """Mean and variance of the expected response, `(n,)` each, without the noise of a training."""

    mean: Floats
    variance: Floats


class Line(NamedTuple):
    """Effects ready to predict many rows: mean `(p,)`, and a root of the covariance `(p, r)`."""

    mean: Floats
    root: Floats


def independent(mean: Floats, std: Floats) -> Normal:
    """Return independent effects of these means and deviations, `(p,)` each."""
    return Normal(np.asarray(mean, dtype=np.float64), np.diag(np.square(std)))


def condition(prior: Normal, matrix: Floats, response: Floats, noise: Floats) -> Conditioned:
    """Return the effects given responses.

    Args:
        prior: Of `p` effects.
        matrix: Features of the rows, `(n, p)`.
        response: What was measured, `(n,)`.
        noise: Variances of the rows, `(n,)`, or their covariance, `(n, n)`.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, eq. 2.11, 2.30. As many
    equations as rows, so it is stable with more effects than rows.
    """
    residual = response - matrix @ prior.mean
    gain = prior.covariance @ matrix.T
    total = matrix @ gain + (np.diag(noise) if noise.ndim == 1 else noise)
    solved = np.linalg.solve(total, np.column_stack([residual, gain.T]))
    covariance = prior.covariance - gain @ solved[:, 1:]
    evidence = -0.5 * (
        residual @ solved[:, 0] + np.linalg.slogdet(total)[1] + len(response) * np.log(2 * np.pi)
    )
    return Conditioned(
        Normal(prior.mean + gain @ solved[:, 0], (covariance + covariance.T) / 2), float(evidence)
    )


def line(effects: Normal) -> Line:
    """Return `effects` ready to predict; directions that are known exactly cost nothing."""
    values, vectors = np.linalg.eigh(effects.covariance)
    kept = values > 1e-12 * max(float(values[-1]), 0.0)
    return Line(effects.mean, vectors[:, kept] * np.sqrt(values[kept]))


def predict(given: Line, matrix: Floats) -> Predicted:
    """Return mean and variance of the expected response of each row of `matrix`, `(n, p)`."""
    spread = given.root.T @ matrix.T
    return Predicted(matrix @ given.mean, np.einsum("ij,ij->j", spread, spread))


def covariance(given: Line, matrix: Floats) -> Floats:
    """Return the covariance of the expected responses of the rows of `matrix`, `(n, n)`."""
    spread = matrix @ given.root
    return np.asarray(spread @ spread.T)


class Averaged(NamedTuple):
    """Effects where the condition is not known, and the probability of each candidate, `(k,)`."""

    effects: Normal
    weight: Floats


def average(prior: Normal, matrix: Floats, response: Floats, noises: Floats) -> Averaged:
    """Return the effects given responses whose noise is one of `noises`, all as likely before.

    Args:
        prior: Of `p` effects.
        matrix: Features of the rows, `(n, p)`.
        response: What was measured, `(n,)`.
        noises: Variances of the rows for each candidate, `(k, n)`.

    Taking the likeliest noise alone gives intervals that are too narrow.
    """
    return mixed([condition(prior, matrix, response, noise) for noise in noises])


def mixed(found: Sequence[Conditioned]) -> Averaged:
    """Return the effects where one of several conditions holds, all as likely before.

    A mixture has the mean of the means, and its covariance is the mean covariance plus that of the
    means.
    """
    evidence = np.array([one.log_evidence for one in found])
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    means = np.array([one.effects.mean for one in found])
    mean = weight @ means
    within = np.einsum("k,kij->ij", weight, np.array([one.effects.covariance for one in found]))
    between = (weight[:, None] * (means - mean)).T @ (means - mean)
    return Averaged(Normal(mean, within + between), weight)
