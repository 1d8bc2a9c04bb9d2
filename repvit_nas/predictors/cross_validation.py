"""How far off a fit is on networks that it never saw."""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from repvit_nas.latency_lut.observations import Observation
from repvit_nas.latency_lut.statistics import NORMAL_90
from repvit_nas.predictors.assumptions import ErrorModel
from repvit_nas.predictors.ensemble import Design, fit, solution_of
from repvit_nas.predictors.physical import LARGE_RESOLUTION, Member
from repvit_nas.predictors.predictor import CALIBRATED, misfit_at
from repvit_nas.predictors.validation import TARGET_FAMILY, Check, CrossValidation, Summary
from repvit_nas.shapes import Floats

# Enough members for a mean and a deviation; the final fit has more.
_MEMBERS: Final = 64
# Families whose networks have RepViT's shapes: what intervals are calibrated on, and what has to be
# left out together before RepViT is truly unseen.
LOOKALIKES: Final = ("repvit", "repnext")
# With fewer of those, intervals are calibrated on all families.
_FEWEST: Final = 12
# What an ensemble says of the observations of a problem, `(n, members)`.
Predict = Callable[[Sequence[Member], Design], Floats]


class HeldOut(NamedTuple):
    """Predictions of observations by fits that did not see them, `(n,)` each."""

    mean_ms: Floats
    variance: Floats

    def first(self, size: int) -> "HeldOut":
        """Return the first so many predictions."""
        return HeldOut(self.mean_ms[:size], self.variance[:size])

    def replaced(self, other: "HeldOut") -> "HeldOut":
        """Return these predictions with those of `other` wherever it has one."""
        known = np.isfinite(other.mean_ms)
        return HeldOut(
            np.where(known, other.mean_ms, self.mean_ms),
            np.where(known, other.variance, self.variance),
        )


def ensemble_predictions(members: Sequence[Member], problem: Design) -> Floats:
    """Return what each member says of each observation of `problem`, `(n, members)`."""
    index = {form: number for number, form in enumerate(problem.forms)}
    columns = [problem.matrices[index[member.form]] @ solution_of(member) for member in members]
    return np.stack(columns, axis=1)


def held_out(
    problem: Design,
    groups: Sequence[str],
    progress: Callable[[str], None] = lambda _: None,
    *,
    only: str | None = None,
    predict: Predict = ensemble_predictions,
) -> HeldOut:
    """Predict each group of observations, or one of them, by a fit to all the others.

    Args:
        problem: The observations.
        groups: The group of each; those without one (`""`) are in every fit.
        progress: Told whom the next fit does not see.
        only: Predict this group alone; what is not predicted is nan.
        predict: Makes predictions of an ensemble.
    """
    names = np.array(groups)
    mean, variance = np.full(len(names), np.nan), np.full(len(names), np.nan)
    for name in sorted(set(groups) - {""}) if only is None else [only]:
        inside = names == name
        members = fit(problem.subset(~inside), members=_MEMBERS)
        predictions = predict(members, problem)[inside]
        mean[inside], variance[inside] = predictions.mean(axis=1), predictions.var(axis=1)
        progress(name)
    return HeldOut(mean, variance)


def own_variance(observations: Sequence[Observation], errors: ErrorModel) -> Floats:
    """Return the relative variance of each observation around a right model, `(n,)`.

    For networks of RepViT's shapes it is what the predictor adds to the ensemble's spread, plus the
    error of the figure itself. For others the assumptions say how much further off they may be.
    """
    target = misfit_of_target(errors)
    return np.array(
        [
            errors.repeat**2
            + (item.error_ms / item.latency_ms) ** 2
            + misfit_at(
                target if item.family in LOOKALIKES else _other_misfit(item, errors),
                errors.large,
                item.resolution,
            )
            ** 2
            for item in observations
        ]
    )


def misfit_of_target(errors: ErrorModel) -> float:
    """Return the relative standard deviation of a single RepViT network around the model."""
    return errors.of(errors.misfit, TARGET_FAMILY)


def _other_misfit(item: Observation, errors: ErrorModel) -> float:
    parts = (
        errors.of(errors.misfit, item.family),
        errors.of(errors.shared, item.family),
        errors.of(errors.offset, item.tool),
    )
    return math.hypot(*parts)


def _offset(item: Observation, errors: ErrorModel) -> float:
    """Return by how much the source of a lookalike may be off; others' is part of their variance."""
    return errors.of(errors.offset, item.tool) if item.family in LOOKALIKES else 0.0


def without_offsets(
    observations: Sequence[Observation], predicted: HeldOut, own: Floats, errors: ErrorModel
) -> list[Observation]:
    """Return observations, those of RepViT's shapes without what their source is off as a whole.

    Intervals are for one network around a right model; that a source is off says nothing of them.
    """
    found = list(observations)
    groups: dict[tuple[str, str], list[int]] = {}
    for row, item in enumerate(observations):
        if _offset(item, errors):
            groups.setdefault((item.tool, item.source), []).append(row)
    for group in groups.values():
        latency = np.array([observations[row].latency_ms for row in group])
        mean = predicted.mean_ms[group]
        weights = 1 / (own[group] + predicted.variance[group] / mean**2)
        prior = _offset(observations[group[0]], errors) ** -2
        off = math.exp(float(weights @ np.log(latency / mean) / (weights.sum() + prior)))
        for row in group:
            item = found[row]
            found[row] = msgspec.structs.replace(item, latency_ms=item.latency_ms / off)
    return found


def multiplier(scores: Floats) -> float:
    """Return how many deviations hold 90 % of new errors, given errors in deviations.

    It is the conformal quantile, and never below that of a normal distribution.
    """
    rank = min(len(scores), math.ceil(CALIBRATED * (len(scores) + 1))) - 1
    return max(NORMAL_90, float(np.sort(scores)[rank]))


def student(freedom: float) -> float:
    """Return the deviations to either side of 90 % of a Student distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CALIBRATED) / 2))


class Calibration(NamedTuple):
    """Intervals of held-out observations.

    Attributes:
        quantile: Deviations to either side of a 90 % interval, from all that calibrate.
        each: The same for each observation, from those of other networks, `(n,)`.
        deviation_ms: The predicted standard deviation, `(n,)`.
    """

    quantile: float
    each: Floats
    deviation_ms: Floats


def calibrate(observations: Sequence[Observation], predicted: HeldOut, own: Floats) -> Calibration:
    """Calibrate intervals on held-out errors, and each network's on those of the others."""
    published = np.array([item.latency_ms for item in observations])
    networks = np.array([item.network for item in observations])
    deviation = np.sqrt(predicted.variance + own * predicted.mean_ms**2)
    scores = np.abs(published - predicted.mean_ms) / deviation
    used = np.array([item.family in LOOKALIKES for item in observations])
    if used.sum() < _FEWEST:
        used[:] = True
    each = np.array([multiplier(scores[used & (networks != name)]) for name in networks])
    return Calibration(multiplier(scores[used]), each, deviation)


def validate(
    device: str,
    observations: Sequence[Observation],
    problem: Design,
    members: Sequence[Member],
    errors: ErrorModel,
    *,
    progress: Callable[[str], None] = lambda _: None,
    predict: Predict = ensemble_predictions,
) -> tuple[CrossValidation, float]:
    """Check a fit against what it never saw; return the checks and the interval's multiplier.

    Args:
        device: Whose fit it is.
        observations: The networks.
        problem: The networks in the same order, and behind them units, which every fit sees.
        members: The fit to all of that.
        errors: How far the figures may be off.
        progress: Told whom the next fit does not see.
        predict: Makes predictions of an ensemble, for the networks at least.
    """
    size = len(observations)
    units = [""] * (len(problem.latency_ms) - size)
    in_sample = predict(members, problem).mean(axis=1)
    names = [item.network for item in observations]
    by_network = held_out(problem, names + units, progress, predict=predict).first(size)
    families = [item.family for item in observations]
    by_family = held_out(problem, families + units, progress, predict=predict).first(size)
    alike = ["lookalikes" if family in LOOKALIKES else family for family in families]
    unlike = held_out(problem, alike + units, progress, only="lookalikes", predict=predict)
    by_shape = by_family.replaced(unlike.first(size))
    own = own_variance(observations, errors)
    intervals = calibrate(without_offsets(observations, by_network, own, errors), by_network, own)
    # A figure of a source that may be off as a whole may be further from what is predicted.
    offset = np.array([_offset(item, errors) for item in observations])
    half = intervals.each * np.hypot(intervals.deviation_ms, offset * by_network.mean_ms)
    checks = tuple(
        Check(
            name=item.name,
            family=item.family,
            resolution=item.resolution,
            source=item.source,
            published_ms=float(item.latency_ms),
            in_sample_ms=_rounded(in_sample[row]),
            without_network_ms=_rounded(by_network.mean_ms[row]),
            without_family_ms=_rounded(by_family.mean_ms[row]),
            without_lookalikes_ms=_rounded(by_shape.mean_ms[row]),
            low_ms=_rounded(by_network.mean_ms[row] - half[row]),
            high_ms=_rounded(by_network.mean_ms[row] + half[row]),
        )
        for row, item in enumerate(observations)
    )
    validation = CrossValidation(device=device, summaries=summarise(checks), checks=checks)
    return validation, intervals.quantile


def summarise(checks: Sequence[Check]) -> dict[str, Summary]:
    """Summarise all checks, those of the RepViT family at and above 224 px, and each family."""
    groups: dict[str, list[Check]] = {"all": list(checks)}
    target = [check for check in checks if check.family == TARGET_FAMILY]
    groups[TARGET_FAMILY] = target
    groups[f"{TARGET_FAMILY} at 224 px"] = [c for c in target if c.resolution == 224]
    groups[f"{TARGET_FAMILY} at 512 px and more"] = [
        c for c in target if c.resolution > LARGE_RESOLUTION
    ]
    for name in sorted({check.family for check in checks} - {TARGET_FAMILY}):
        groups[name] = [check for check in checks if check.family == name]
    return {name: _summary(group) for name, group in groups.items() if group}


def _summary(checks: Sequence[Check]) -> Summary:
    def error(attribute: str) -> float:
        ratios = [getattr(check, attribute) / check.published_ms - 1 for check in checks]
        return round(100 * float(np.mean(np.abs(ratios))), 2)

    inside = [check.low_ms <= check.published_ms <= check.high_ms for check in checks]
    return Summary(
        networks=len(checks),
        in_sample_percent=error("in_sample_ms"),
        without_network_percent=error("without_network_ms"),
        without_family_percent=error("without_family_ms"),
        without_lookalikes_percent=error("without_lookalikes_ms"),
        coverage_percent=round(100 * float(np.mean(inside)), 1),
    )


def _rounded(value: float) -> float:
    return round(float(value), 4)
