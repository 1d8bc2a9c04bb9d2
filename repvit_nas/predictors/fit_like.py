"""Fit a device of which a few whole networks were timed: another device's model, shifted and scaled.

Each member of the other device's ensemble keeps its form. Its coefficients are scaled as a whole, and
each on its own (the overhead is one of them) as far as the latencies ask for it against a prior around
the scaled ones. Members are fitted to latencies perturbed within their errors, from priors perturbed
within theirs, so their spread is the posterior's: one row scales the device and leaves it wide, many
rows teach it its own balance of compute, memory and overhead.

How far single networks scatter around that is estimated from networks left out, beside a prior: with
few rows the prior counts, and the interval is a Student distribution's.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.series import USUAL_OFFSET
from repvit_nas.latency_lut.table import Table
from repvit_nas.predictors.assumptions import ErrorModel
from repvit_nas.predictors.cross_validation import multiplier, student
from repvit_nas.predictors.ensemble import (
    LEAST_PREDICTED,
    OVERHEAD_MS,
    Expected,
    matrices,
    relative_covariance,
    solution_of,
    solve,
)
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.predictors.predictor_file import MemberRecord, Model
from repvit_nas.predictors.table_observations import beside_published, unit_observations
from repvit_nas.predictors.timed_units import Learning
from repvit_nas.predictors.validation import LeaveOneOut, LeftOutCheck
from repvit_nas.shapes import Floats
from repvit_nas.words import Progress

# How far a coefficient may be from the scaled one, as a share of what it typically is: an overhead has
# little to do with how fast a device computes, the others have more. With these and the two below, 90 %
# intervals held for about 90 to 100 % of the networks left out when a processor and two phones, known from
# 1, 3 and 8 networks, were taken to be like one another.
_FREE: Final = 0.6
_FREE_OVERHEAD: Final = 1.0
# How far single networks are taken to scatter around another device's model, and how many networks
# have to show otherwise to count as much.
_PRIOR_MISFIT: Final = 0.18
_PRIOR_NETWORKS: Final = 2.0
# No two builds of a network run equally fast to better than this.
_LEAST_MISFIT: Final = 0.005
# Values of the scatter that are weighed.
_MOST_MISFIT: Final = 0.6
_GRID: Final = 16
_EVERY: Final = 4
# With more networks than this, several are left out at a time.
_MOST_FITS: Final = 20


class _Problem(NamedTuple):
    """What is fitted: observations under the form of each member of the other device's ensemble.

    Attributes:
        matrices: Features, overhead first, `(members, n, 1 + columns)`.
        latency_ms: `(n,)`.
        own: Relative covariance of the figures themselves, `(n, n)`.
        alike: Where two observations are of one network, `(n, n)`.
        prior: Coefficients of the other device, `(members, 1 + columns)`.
    """

    matrices: Floats
    latency_ms: Floats
    own: Floats
    alike: Floats
    prior: Floats

    def subset(self, keep: npt.NDArray[np.bool_]) -> "_Problem":
        """Return the problem of the observations that the boolean mask `keep` marks."""
        rows = np.flatnonzero(keep)
        square = np.ix_(rows, rows)
        return _Problem(
            self.matrices[:, rows],
            self.latency_ms[rows],
            self.own[square],
            self.alike[square],
            self.prior,
        )

    def predictions(self, solutions: Floats) -> Floats:
        """Return what each member says of each observation, `(n, members)`."""
        return np.asarray(np.einsum("mnc,mc->nm", self.matrices, solutions))


class _LeftOut(NamedTuple):
    """Predictions by fits that did not see the network, nan where there is none.

    Attributes:
        mean_ms: `(n,)`.
        deviation: What their errors are expected to be, relative, `(n,)`.
    """

    mean_ms: Floats
    deviation: Floats


def learn_like(
    device: str,
    networks: Sequence[Observation],
    table: Table | None,
    base: Predictor,
    progress: Progress = lambda *_: None,
) -> tuple[Learning, LeaveOneOut]:
    """Fit a device to a few whole networks by shifting and scaling another device's predictor.

    Args:
        device: Whose latencies they are.
        networks: The networks.
        table: What was timed by visits beside them.
        base: The predictor of the device that it is like; of a measured one only its physical model
            is taken, since what single units took there says little of this device.
        progress: Told what is being done.

    Returns:
        The fitted predictor, and each network against a fit without it.

    Raises:
        RepvitNasError: There is no latency.
    """
    observations, units = list(networks), list[Observation]()
    if table is not None:
        observations += beside_published(table, networks)
        units = unit_observations(table, table.units)
    if not observations:
        raise RepvitNasError(
            f"device {device!r} has no latencies of its own yet: bring some with repvit-nas "
            f"import-latencies FILE.csv --device {device}"
        )
    problem = _problem([*observations, *units], base)
    names = [item.network for item in observations] + [""] * len(units)
    left_out = _left_out(problem, _folds(names), names, progress)
    misfit, quantile = _misfit(problem), _multiplier(problem, left_out)
    size = len(observations)
    checks = _checks(observations, left_out, quantile)
    ratios = problem.latency_ms[:size] / problem.predictions(problem.prior).mean(axis=1)[:size]
    slower = float(np.log(ratios).mean())
    validation = _validation(device, base.device, checks, slower, misfit)
    model = _model(device, base, _solutions(problem, misfit), misfit, quantile)
    return Learning(Predictor(model), len(names), b"", np.zeros(0)), validation


def _problem(observations: Sequence[Observation], base: Predictor) -> _Problem:
    forms = list(dict.fromkeys(member.form for member in base.members))
    features = matrices(observations, forms, base.model.columns)
    of_member = [forms.index(member.form) for member in base.members]
    groups = [item.network for item in observations]
    return _Problem(
        matrices=features[of_member],
        latency_ms=np.array([item.latency_ms for item in observations]),
        own=relative_covariance(observations, _figures_alone(observations)),
        alike=np.array([[one == other for other in groups] for one in groups], dtype=np.float64),
        prior=np.stack([solution_of(member) for member in base.members]),
    )


def _figures_alone(observations: Sequence[Observation]) -> ErrorModel:
    """Return the errors of figures without those of any model.

    The tool that timed most is the device's own; figures of others may be off together.
    """
    most, _ = Counter(item.tool for item in observations).most_common(1)[0]
    return ErrorModel(
        repeat=0.0,
        misfit={"other": 0.0},
        shared={"other": 0.0},
        offset={"other": USUAL_OFFSET, most: 0.0},
        large=0.0,
        variants=0.0,
    )


def _folds(names: Sequence[str]) -> list[list[str]]:
    """Return the networks to leave out at a time: one by one, unless there are many."""
    each = sorted(set(names) - {""})
    number = min(len(each), _MOST_FITS)
    return [each[first::number] for first in range(number)]


def _left_out(
    problem: _Problem, folds: Sequence[Sequence[str]], names: Sequence[str], progress: Progress
) -> _LeftOut:
    """Predict each network by a fit that never saw it, if there is any to fit to."""
    found = _LeftOut(np.full(len(names), np.nan), np.full(len(names), np.nan))
    for number, fold in enumerate(folds if len(folds) > 1 else ()):
        progress("leaving networks out", number, len(folds))
        inside = np.isin(names, fold)
        seen = problem.subset(~inside)
        misfit = _misfit(seen)
        totals = problem.predictions(_solutions(seen, misfit))[inside]
        mean = totals.mean(axis=1)
        found.mean_ms[inside] = mean
        variance = (totals.std(axis=1) / mean) ** 2 + misfit**2 + np.diag(problem.own)[inside]
        found.deviation[inside] = np.sqrt(variance)
    return found


def _misfit(problem: _Problem) -> float:
    """Return how far single networks scatter around the model, a relative standard deviation.

    It is the geometric mean of its posterior: of each value on a grid, the likelihood of the
    latencies, with the coefficients integrated out, under each member of the other device.
    """
    deviation = _freedom(problem)
    grid = np.geomspace(_LEAST_MISFIT, _MOST_MISFIT, _GRID)
    weight = _PRIOR_NETWORKS / 2 * (2 * np.log(grid) + (_PRIOR_MISFIT / grid) ** 2)
    some = slice(None, None, _EVERY)  # members differ far less than values of the scatter do
    features_of, priors = problem.matrices[some], problem.prior[some]
    scores = np.full((len(grid), len(priors)), -np.inf)
    for column, (features, prior) in enumerate(zip(features_of, priors, strict=True)):
        shares = features / np.maximum(features @ prior, LEAST_PREDICTED)[:, None]
        coefficients = (shares * deviation) @ (shares * deviation).T
        ratios = np.log(problem.latency_ms / np.maximum(features @ prior, LEAST_PREDICTED))
        for row, value in enumerate(grid):
            covariance = problem.own + value**2 * _nearly(problem.alike) + coefficients
            scores[row, column] = _likelihood(ratios, covariance)
    scores -= weight[:, None]
    chances = np.exp(scores - scores.max()).sum(axis=1)
    return math.exp(float(chances @ np.log(grid) / chances.sum()))


def _likelihood(ratios: Floats, covariance: Floats) -> float:
    """Return the logarithm of the likelihood of `ratios`, whatever they have in common."""
    whitener = np.linalg.inv(np.linalg.cholesky(covariance))
    white, common = whitener @ ratios, whitener.sum(axis=1)
    information = float(common @ common)
    left = float(white @ white) - float(common @ white) ** 2 / information
    return float(np.log(np.diag(whitener)).sum()) - math.log(information) / 2 - left / 2


def _multiplier(problem: _Problem, left_out: _LeftOut) -> float:
    """Return the deviations to either side of a 90 % interval."""
    known = np.isfinite(left_out.mean_ms)
    few = student(_PRIOR_NETWORKS + max(0, known.sum() - 1))
    if not known.any():
        return few
    scores = np.abs(np.log(problem.latency_ms / left_out.mean_ms)) / left_out.deviation
    return max(few, multiplier(scores[known]))


def _freedom(problem: _Problem) -> Floats:
    """Return how far each coefficient may be from the scaled one, before it is scaled."""
    free = np.full(problem.prior.shape[1], _FREE)
    free[0] = _FREE_OVERHEAD
    return np.asarray(free * problem.prior.mean(axis=0))


def _solutions(problem: _Problem, misfit: float, *, seed: int = 0) -> Floats:
    """Return the coefficients of each member, `(members, 1 + columns)`."""
    rng = np.random.default_rng(seed)
    factor = np.linalg.cholesky(problem.own + misfit**2 * _nearly(problem.alike))
    whitener = np.linalg.inv(factor)
    deviation = _freedom(problem)
    found = []
    for features, prior in zip(problem.matrices, problem.prior, strict=True):
        latency = problem.latency_ms * np.exp(factor @ rng.standard_normal(len(factor)))
        drawn = np.maximum(0.0, prior + deviation * rng.standard_normal(len(prior)))
        found.append(_scaled(features, latency, whitener, drawn, deviation))
    return np.stack(found)


def _nearly(alike: Floats) -> Floats:
    """Return a correlation that can be inverted where one network was timed twice without error."""
    return 0.999 * alike + 0.001 * np.eye(len(alike))


def _scaled(
    features: Floats, latency_ms: Floats, whitener: Floats, prior: Floats, deviation: Floats
) -> Floats:
    """Scale `prior` to the latencies, and let its coefficients move from there, none below 0.

    Args:
        features: `(n, 1 + columns)`.
        latency_ms: `(n,)`.
        whitener: Of their relative errors, `(n, n)`.
        prior: The other device's coefficients.
        deviation: How far they may be off before they are scaled.
    """
    weights = whitener.T @ whitener
    ratios = np.log(latency_ms / np.maximum(features @ prior, LEAST_PREDICTED * latency_ms))
    scale = math.exp(float((weights @ ratios).sum() / weights.sum()))
    # A column that no member has stays out.
    known = deviation > 0
    scaled = Expected(scale * prior[known], scale * deviation[known])
    solution = np.zeros(len(prior))
    solution[known] = solve(features[:, known], latency_ms, whitener, scaled)
    return solution


def _model(
    device: str, base: Predictor, solutions: Floats, misfit: float, quantile: float
) -> Model:
    members = tuple(
        MemberRecord(
            member.form,
            float(f"{OVERHEAD_MS * solution[0]:.6g}"),
            tuple(float(f"{value:.6g}") for value in solution[1:]),
        )
        for member, solution in zip(base.members, solutions, strict=True)
    )
    return Model(
        device=device,
        source="modelled",
        columns=base.model.columns,
        members=members,
        misfit=round(misfit, 5),
        large_misfit=base.model.large_misfit,
        quantile=round(quantile, 4),
    )


def _checks(
    observations: Sequence[Observation], left_out: _LeftOut, quantile: float
) -> tuple[LeftOutCheck, ...]:
    """Return each network against the fit without it, where there is one."""
    found = []
    for row, item in enumerate(observations):
        mean = float(left_out.mean_ms[row])
        predicted = low = high = None
        if math.isfinite(mean):
            half = quantile * mean * float(left_out.deviation[row])
            predicted, low, high = (
                float(f"{value:.6g}") for value in (mean, max(0.0, mean - half), mean + half)
            )
        check = LeftOutCheck(
            item.name, item.resolution, item.tool, item.latency_ms, predicted, low, high
        )
        found.append(check)
    return tuple(found)


def _validation(
    device: str, like: str, checks: tuple[LeftOutCheck, ...], shift: float, misfit: float
) -> LeaveOneOut:
    shares, inside = [], []
    for check in checks:
        if check.predicted_ms is None or check.low_ms is None or check.high_ms is None:
            continue
        shares.append(abs(check.predicted_ms / check.given_ms - 1))
        inside.append(check.low_ms <= check.given_ms <= check.high_ms)
    return LeaveOneOut(
        device=device,
        like=like,
        times=float(f"{math.exp(shift):.4g}"),
        misfit_percent=round(100 * misfit, 2),
        error_percent=round(100 * float(np.mean(shares)), 2) if shares else None,
        coverage_percent=round(100 * float(np.mean(inside)), 1) if inside else None,
        checks=checks,
    )
