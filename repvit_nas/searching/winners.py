"""Which networks of a front are worth a file: the best at each level of the budget."""

from typing import Final

import numpy as np

from repvit_nas.search_space.space import Choices
from repvit_nas.searching.front import Front
from repvit_nas.searching.improve import Neighbourhood, double_steps
from repvit_nas.searching.problem import Problem
from repvit_nas.shapes import Floats, Integers

# Shares of the budget at which the best network is kept.
LEVELS: Final = tuple(level / 100 for level in range(100, 40, -5))
# How limits other than the budget are told: in which unit, and what it is called.
_UNITS: Final = {
    "params": (1e6, "million parameters"),
    "macs": (1e9, "thousand million MACs"),
    "size": (1e6, "MB of fp16 weights"),
}


def winners(problem: Problem, front: Front) -> Integers:
    """Return the rows of `front` that are best at each level of the budget, the best first.

    At a level the latency may be that share of the budget on every device; the best is the one
    with the highest lower confidence bound of the accuracy. A budget that the front does not come
    near has no levels worth the name: there they are spread over what the front spans.
    """
    shares = problem.budget_shares(front.choices)
    levels = np.stack([_levels(taken) for taken in shares.T], axis=1)
    chosen: list[int] = []
    for level in levels:
        within = np.flatnonzero(np.all(shares <= level, axis=1))
        if not len(within):
            break
        best = int(within[np.argmin(front.objectives[within, -1])])
        if best not in chosen:
            chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def _levels(shares: Floats) -> Floats:
    """Return the levels of one device's budget from the shares of it that a front takes."""
    if _binds(shares):
        return np.array(LEVELS)
    return np.geomspace(shares.max(), shares.min(), len(LEVELS))


def _binds(shares: Floats) -> bool:
    """Tell whether any network of a front is nearer to the budget than the second level."""
    return bool(shares.max() > LEVELS[1])


def unbound(problem: Problem, front: Front) -> dict[str, float]:
    """Return the devices whose budget nothing on the front comes near, and the most ms it takes."""
    shares = problem.budget_shares(front.choices)
    return {
        device: round(float(taken.max() * budget), 4)
        for device, taken, budget in zip(problem.devices, shares.T, problem.budgets_ms, strict=True)
        if not _binds(taken)
    }


def nearest(problem: Problem, start: Choices) -> Choices:
    """Return the network that misses an impossible budget by least, `(1, parameters)`.

    Descends from the best of `start` by changes of one or two steps until none helps.
    """
    misses = _misses(problem, start)
    best = int(misses.argmin())
    current, missed = start[best : best + 1], misses[best]
    neighbourhood = Neighbourhood(problem, double_steps(len(problem.space.parameters)))
    while len(around := neighbourhood.around(current)):
        misses = _misses(problem, around)
        best = int(misses.argmin())
        if misses[best] >= missed:
            break
        current, missed = around[best : best + 1], misses[best]
    return current


def broken_limits(problem: Problem, network: Choices) -> tuple[str, ...]:
    """Say which limits one network `(1, parameters)` breaks: what it has and what is allowed."""
    violations = problem.score(network).violations[0]
    limits = [*zip(_latency_units(problem, network), problem.budgets_ms, strict=True)]
    limits += [
        (unit, most / scale) for name, most in problem.limits for scale, unit in [_UNITS[name]]
    ]
    broken = [
        f"{(1 + over) * most:.4g} {unit}, {over * most:.3g} ({over:.0%}) over the {most:g} allowed"
        for (unit, most), over in zip(limits, violations, strict=False)
        if over > 0
    ]
    rules = zip(problem.space.file.constraints, violations[len(limits) :], strict=True)
    return (*broken, *(f"{over:g} away from {rule!r}" for rule, over in rules if over > 0))


def _latency_units(problem: Problem, network: Choices) -> list[str]:
    """Say of which device, how sure and from where the latencies that the budgets limit are."""
    scores, confidence = problem.score(network), problem.settings.confidence
    units = []
    for index, predictor in enumerate(problem.predictors):
        low, mean, high = (
            float(column[0, index]) for column in (scores.low_ms, scores.latency_ms, scores.high_ms)
        )
        sure = f"{low:.3f}-{high:.3f}"
        if confidence is not None:
            sure = f"upper end at confidence {confidence:g}; estimate {mean:.3f}"
        units.append(f"ms on {predictor.device} ({sure}; {predictor.model.source})")
    return units


def _misses(problem: Problem, choices: Choices) -> Floats:
    """Rank networks: by the worst broken constraint, then by the relative latency."""
    scores = problem.score(choices)
    relative = (scores.latency_ms / problem.budgets_ms).max(axis=1)
    others = scores.violations[:, len(problem.devices) :]
    broken = np.maximum(others, 0.0).sum(axis=1)
    limited = scores.violations[:, : len(problem.devices)].max(axis=1)
    return np.asarray(1e6 * broken + limited + 1e-9 * relative)
