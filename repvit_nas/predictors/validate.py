"""How far off a fit is on networks that it never saw."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from repvit_nas.latency_lut.observations import Observation
from repvit_nas.predictors.assumptions import ErrorModel
from repvit_nas.predictors.fit import OVERHEAD_MS, Design, Member, fit
from repvit_nas.predictors.predictor import CALIBRATED, LARGE_RESOLUTION
from repvit_nas.shapes import Floats

# Enough members for a mean and a deviation; the final fit has more.
_MEMBERS: Final = 32
TARGET_FAMILY: Final = "repvit"
VALIDATION_FILE: Final = "validation.json"


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One observation against three predictions of it, in milliseconds.

    Attributes:
        name: What was timed.
        family: Its family.
        resolution: Its input side in pixels.
        source: Who timed it.
        published_ms: What was published.
        in_sample_ms: Predicted by the fit to everything.
        without_network_ms: Predicted by a fit that never saw the network or a variant of it.
        without_family_ms: Predicted by a fit that never saw the network's family.
        low_ms: Lower end of the 90 % interval of `without_network_ms`.
        high_ms: Its upper end.
    """

    name: str
    family: str
    resolution: int
    source: str
    published_ms: float
    in_sample_ms: float
    without_network_ms: float
    without_family_ms: float
    low_ms: float
    high_ms: float


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mean absolute errors in percent, and how often the 90 % interval held, of a group of checks."""

    networks: int
    in_sample_percent: float
    without_network_percent: float
    without_family_percent: float
    coverage_percent: float


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `validation.json` (schema 1)."""

    schema: Literal[1] = 1
    device: str
    summaries: dict[str, Summary]
    checks: tuple[Check, ...]


class HeldOut(NamedTuple):
    """Predictions of observations by fits that did not see them, `(n,)` each."""

    mean_ms: Floats
    variance: Floats


def ensemble_predictions(members: Sequence[Member], problem: Design) -> Floats:
    """Return what each member says of each observation of `problem`, `(n, members)`."""
    index = {form: number for number, form in enumerate(problem.forms)}
    columns = []
    for member in members:
        solution = np.concatenate([[member.overhead_ms / OVERHEAD_MS], member.coefficients])
        columns.append(problem.matrices[index[member.form]] @ solution)
    return np.stack(columns, axis=1)


def held_out(
    problem: Design, groups: Sequence[str], progress: Callable[[str], None] = lambda _: None
) -> HeldOut:
    """Predict each group of observations by a fit to all the others."""
    names = np.array(groups)
    mean, variance = np.zeros(len(names)), np.zeros(len(names))
    for name in sorted(set(groups)):
        inside = names == name
        members = fit(problem.subset(~inside), members=_MEMBERS)
        predictions = ensemble_predictions(members, problem)[inside]
        mean[inside], variance[inside] = predictions.mean(axis=1), predictions.var(axis=1)
        progress(name)
    return HeldOut(mean, variance)


def own_variance(observations: Sequence[Observation], errors: ErrorModel) -> Floats:
    """Return the relative variance of each observation around a right model, `(n,)`."""
    return np.array(
        [
            errors.repeat**2
            + (item.error_ms / item.latency_ms) ** 2
            + errors.of(errors.misfit, item.family) ** 2
            + errors.of(errors.shared, item.family) ** 2
            + errors.of(errors.offset, item.tool) ** 2
            + (errors.large**2 if item.resolution > LARGE_RESOLUTION else 0.0)
            for item in observations
        ]
    )


def calibrate(published: Floats, predicted: HeldOut, own: Floats) -> tuple[float, Floats]:
    """Return the multiplier that makes 90 % of held-out intervals hold, and the deviations.

    The multiplier is the conformal quantile of the held-out errors in units of their predicted
    standard deviation, and never below that of a normal distribution.
    """
    deviation = np.sqrt(predicted.variance + own * predicted.mean_ms**2)
    scores = np.sort(np.abs(published - predicted.mean_ms) / deviation)
    rank = min(len(scores) - 1, int(np.ceil(CALIBRATED * (len(scores) + 1))) - 1)
    return max(1.645, float(scores[rank])), deviation


def validate(
    device: str,
    observations: Sequence[Observation],
    problem: Design,
    members: Sequence[Member],
    errors: ErrorModel,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Validation, float]:
    """Check a fit against what it never saw; return the checks and the interval's multiplier."""
    in_sample = ensemble_predictions(members, problem).mean(axis=1)
    by_network = held_out(problem, [item.network for item in observations], progress)
    by_family = held_out(problem, [item.family for item in observations], progress)
    quantile, deviation = calibrate(
        problem.latency_ms, by_network, own_variance(observations, errors)
    )
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
            low_ms=_rounded(by_network.mean_ms[row] - quantile * deviation[row]),
            high_ms=_rounded(by_network.mean_ms[row] + quantile * deviation[row]),
        )
        for row, item in enumerate(observations)
    )
    return Validation(device=device, summaries=summarise(checks), checks=checks), quantile


def summarise(checks: Sequence[Check]) -> dict[str, Summary]:
    """Summarise all checks, those of the RepViT family at and above 224 px, and each family."""
    groups: dict[str, list[Check]] = {"all": list(checks)}
    target = [check for check in checks if check.family == TARGET_FAMILY]
    groups[TARGET_FAMILY] = target
    groups[f"{TARGET_FAMILY} at 224 px"] = [c for c in target if c.resolution == 224]
    groups[f"{TARGET_FAMILY} at 512 px and more"] = [c for c in target if c.resolution > 320]
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
        coverage_percent=round(100 * float(np.mean(inside)), 1),
    )


def _rounded(value: float) -> float:
    return round(float(value), 4)
