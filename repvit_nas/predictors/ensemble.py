"""Fit a physical latency model to whole-network latencies, with its uncertainty.

The published networks do not determine the model: compute, weights and activations rise together
along them, and several forms of overlap describe them equally well. So the result is not one model
but an ensemble of members: forms drawn by how well they fit, each with coefficients refitted to
latencies perturbed within their errors. Their spread is small on networks like those fitted and
grows away from them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.errors import ContradictionError
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.predictors.assumptions import Assumptions, ErrorModel
from repvit_nas.predictors.physical import (
    FUSING_COLUMNS,
    LARGE_RESOLUTION,
    MS_PER,
    CostColumn,
    CostForm,
    Member,
    features,
    tabulate,
)
from repvit_nas.shapes import Floats
from repvit_nas.units import Unit

if TYPE_CHECKING:
    from repvit_nas.predictors.engine import Term

MEMBERS: Final = 64
# Half-normal, where nothing is known: no coefficient is expected far above this many times its unit.
PRIOR_SCALE: Final = 3.0
# The overhead's feature, in milliseconds, so that its coefficient is near 1 too.
OVERHEAD_MS: Final = 0.45
_REWEIGHTINGS: Final = 3
# A latency that the terms cannot explain at all must not weigh without limit.
LEAST_PREDICTED: Final = 1e-3
# Forms that fit leave the typical latency within a tenth, and none further off than twice. Beyond these
# factors, the typical one or any one, the latencies are not of one device in one unit.
_TYPICALLY_OFF: Final = 2.0
FURTHEST_OFF: Final = 30.0


class Expected(NamedTuple):
    """Means and standard deviations of the coefficients, overhead first, `(1 + columns,)` each."""

    mean: Floats
    deviation: Floats


class Design(NamedTuple):
    """Observations as arrays, for every form.

    Attributes:
        forms: The forms.
        matrices: Features of the observations under each form, overhead first,
            `(forms, n, 1 + columns)`.
        latency_ms: `(n,)`.
        correlated: Relative covariance of the latencies, `(n, n)`.
        expected: What the coefficients are expected to be.
    """

    forms: list[CostForm]
    matrices: Floats
    latency_ms: Floats
    correlated: Floats
    expected: Expected

    def subset(self, keep: Floats) -> "Design":
        """Return the design of the observations that the boolean mask `keep` marks."""
        rows = np.flatnonzero(keep)
        return Design(
            self.forms,
            self.matrices[:, rows],
            self.latency_ms[rows],
            self.correlated[np.ix_(rows, rows)],
            self.expected,
        )


def solution_of(member: Member) -> Floats:
    """Return what a member multiplies its features by, overhead first, `(1 + columns,)`."""
    return np.concatenate([[member.overhead_ms / OVERHEAD_MS], member.coefficients])


def relative_covariance(observations: Sequence[Observation], errors: ErrorModel) -> Floats:
    """Return the relative covariance `(n, n)` of `observations` under an error model."""

    def same(labels: list[object]) -> npt.NDArray[np.bool_]:
        numbers: dict[object, int] = {}
        codes = np.array([numbers.setdefault(label, len(numbers)) for label in labels])
        return np.asarray(codes[:, None] == codes[None, :])

    def variances(group: dict[str, float], names: list[str]) -> Floats:
        return np.array([errors.of(group, name) ** 2 for name in names])

    families = [item.family for item in observations]
    network = same([item.network for item in observations])
    alike = np.where(same([item.name for item in observations]), 1.0, errors.variants)
    large = np.array([item.resolution > LARGE_RESOLUTION for item in observations])
    own = [errors.repeat**2 + (item.error_ms / item.latency_ms) ** 2 for item in observations]
    covariance = np.where(same(list(families)), variances(errors.shared, families), 0.0)
    covariance += np.where(network, alike * variances(errors.misfit, families), 0.0)
    covariance += np.where(
        same([(item.tool, item.source) for item in observations]),
        variances(errors.offset, [item.tool for item in observations]),
        0.0,
    )
    both_large = large[:, None] & large[None, :]
    covariance += both_large * np.where(network, 1.0, 0.5) * errors.large**2
    return covariance + np.diag(own)


def counted(observations: Sequence[Observation]) -> tuple[list[Unit], Floats]:
    """Return the units of all observations, and how often each has each, `(n, units)`."""
    units = sorted({unit for item in observations for unit, _ in item.units}, key=repr)
    position = {unit: index for index, unit in enumerate(units)}
    counts = np.zeros((len(observations), len(units)))
    for row, item in enumerate(observations):
        for unit, count in item.units:
            counts[row, position[unit]] = count
    return units, counts


def expected(assumptions: Assumptions) -> Expected:
    """Return what the coefficients are expected to be, in units of their features."""
    mean, deviation = [], []
    terms: tuple[Term, ...] = ("overhead", *assumptions.columns)
    units = (OVERHEAD_MS, *(MS_PER.get(column, 1.0) for column in assumptions.columns))
    for term, unit in zip(terms, units, strict=True):
        prior = assumptions.priors.get(term)
        mean.append(0.0 if prior is None else prior.nominal / unit)
        deviation.append(PRIOR_SCALE if prior is None else prior.deviation / unit)
    return Expected(np.array(mean), np.array(deviation))


def matrices(
    observations: Sequence[Observation],
    forms: Sequence[CostForm],
    columns: Sequence[CostColumn] = FUSING_COLUMNS,
) -> Floats:
    """Return the features of observations under each form, overhead first, `(forms, n, 1 + columns)`."""
    units, counts = counted(observations)
    table = tabulate(units)
    overhead = OVERHEAD_MS * np.array([[item.calls] for item in observations])
    return np.stack(
        [np.hstack([overhead, counts @ features(form, table, columns)]) for form in forms]
    )


def design(observations: Sequence[Observation], assumptions: Assumptions) -> Design:
    """Tabulate `observations` under every form that the assumptions leave open."""
    forms = assumptions.listed()
    return Design(
        forms=forms,
        latency_ms=np.array([item.latency_ms for item in observations]),
        correlated=relative_covariance(observations, assumptions.errors),
        expected=expected(assumptions),
        matrices=matrices(observations, forms, assumptions.columns),
    )


def fit(problem: Design, *, seed: int = 0, members: int = MEMBERS) -> list[Member]:
    """Fit the ensemble; see the module's docstring.

    Args:
        problem: What to fit.
        seed: Of the draws of forms and perturbations.
        members: How many models to draw.

    Returns:
        The members, the better forms drawn more often.

    Raises:
        ContradictionError: No form comes near the latencies.
    """
    rng = np.random.default_rng(seed)
    factor = np.linalg.cholesky(problem.correlated)
    whitener = np.linalg.inv(factor)
    best = [
        solve(matrix, problem.latency_ms, whitener, problem.expected) for matrix in problem.matrices
    ]
    chosen = rng.choice(len(best), size=members, p=_weights(problem, whitener, best))
    (own,) = rng.spawn(1)
    drawn = []
    for index in chosen:
        noise = factor @ rng.standard_normal(len(problem.latency_ms))
        latency = problem.latency_ms * np.exp(noise)
        prior = _perturbed(problem.expected, own)
        solution = solve(problem.matrices[index], latency, whitener, prior)
        drawn.append(Member(problem.forms[index], OVERHEAD_MS * solution[0], solution[1:]))
    return drawn


def _weights(problem: Design, whitener: Floats, solutions: list[Floats]) -> Floats:
    """Weigh forms by their likelihood, the misfit scaled to what the best form leaves."""
    predicted = np.einsum("fnc,fc->fn", problem.matrices, np.stack(solutions))
    misses = np.log(np.maximum(predicted / problem.latency_ms, LEAST_PREDICTED))
    misfits = ((misses @ whitener.T) ** 2).sum(axis=1)
    _check_near(problem, misses[misfits.argmin()])
    freedom = max(1, len(problem.latency_ms) - problem.matrices.shape[2])
    dispersion = max(1.0, misfits.min() / freedom)
    weights = np.exp(-0.5 * (misfits - misfits.min()) / dispersion)
    return np.asarray(weights / weights.sum())


def _check_near(problem: Design, misses: Floats) -> None:
    """Raise if even the best form is nowhere near the latencies.

    Args:
        problem: What is fitted.
        misses: Logarithms of predicted to given latency, by the best form.

    Raises:
        ContradictionError: It is not.
    """
    # A latency whose own error is that large is no contradiction.
    deviation = np.sqrt(np.diag(problem.correlated))
    far, limit = np.abs(misses) > np.log(FURTHEST_OFF) + 2 * deviation, FURTHEST_OFF
    if len(far) and not far.any() and np.median(np.abs(misses)) > np.log(_TYPICALLY_OFF):
        far, limit = np.abs(misses) > np.log(_TYPICALLY_OFF), _TYPICALLY_OFF
    if not far.any():
        return
    worst = int(np.argmax(np.where(far, np.abs(misses), 0.0)))
    given = problem.latency_ms[worst]
    raise ContradictionError(
        f"no model of a device fits these latencies: {far.sum()} of {len(misses)} are more than "
        f"{limit:g} times off the best one, such as {given:.4g} ms where that says "
        f"{given * np.exp(misses[worst]):.4g} ms; see whether some of what was timed, imported or "
        "published is in another unit, and import it again or move its series away"
    )


def _perturbed(prior: Expected, rng: np.random.Generator) -> Expected:
    """Return a prior with means drawn from it; those of 0 stay, as no coefficient is negative."""
    shift = prior.deviation * rng.standard_normal(len(prior.mean))
    return prior._replace(mean=np.where(prior.mean > 0, np.maximum(prior.mean + shift, 0), 0.0))


def solve(matrix: Floats, latency_ms: Floats, whitener: Floats, prior: Expected) -> Floats:
    """Solve non-negative least squares in relative errors.

    Errors are relative to the true latency, so they are scaled by the prediction, not by the
    figure: scaled by the figure, correlated errors would pull every prediction down.

    Args:
        matrix: Features, `(n, coefficients)`.
        latency_ms: `(n,)`.
        whitener: Of their relative errors, `(n, n)`.
        prior: Of the coefficients.
    """
    from scipy.optimize import nnls

    pull = np.diag(1 / prior.deviation)
    aim = prior.mean / prior.deviation
    predicted = latency_ms
    solution = np.zeros(matrix.shape[1])
    for _ in range(_REWEIGHTINGS):
        left = np.vstack([whitener @ (matrix / predicted[:, None]), pull])
        right = np.concatenate([whitener @ (latency_ms / predicted), aim])
        solution, _ = nnls(left, right)
        predicted = np.maximum(matrix @ solution, LEAST_PREDICTED * latency_ms)
    return np.asarray(solution)
