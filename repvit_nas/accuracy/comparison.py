"""How well scores rank networks that no fit saw."""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from repvit_nas.shapes import Floats

_DRAWS: Final = 2000
_WITHIN: Final = 0.9
# How many are picked where one asks how many of the best a score names.
PICKED: Final = 3


class Ranking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a score ranks networks.

    Attributes:
        tau: Kendall's tau-b with the accuracies.
        low: Lower end of its 90 % interval, by drawing networks anew.
        high: Upper end.
        precision: Share of the three that score best among the three that are best.
        regret: How far the network that scores best is behind the best one, in points.
    """

    tau: float
    low: float
    high: float
    precision: float
    regret: float


def kendall(score: Floats, truth: Floats) -> float:
    """Return Kendall's tau-b of two rankings, `(n,)` each; 0 where one of them ranks nothing."""
    from scipy import stats

    found = float(stats.kendalltau(score, truth).statistic)
    return found if np.isfinite(found) else 0.0


def rank(score: Floats, truth: Floats, *, seed: int = 0) -> Ranking:
    """Say how well a score ranks networks.

    Args:
        score: Of each network, more is better, `(n,)`.
        truth: Their accuracies in percent, `(n,)`.
        seed: Of the networks that are drawn anew for the interval.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(truth), size=(_DRAWS, len(truth)))
    taus = [kendall(score[rows], truth[rows]) for rows in draws]
    low, high = np.quantile(taus, [(1 - _WITHIN) / 2, (1 + _WITHIN) / 2])
    best, picked = _first(truth), _first(score)
    return Ranking(
        tau=kendall(score, truth),
        low=float(low),
        high=float(high),
        precision=len(set(best) & set(picked)) / PICKED,
        regret=float(truth.max() - truth[picked[0]]),
    )


def _first(values: Floats) -> list[int]:
    return [int(row) for row in np.argsort(-values, kind="stable")[:PICKED]]


def inside(mean: Floats, std: Floats, truth: Floats) -> npt.NDArray[np.bool_]:
    """Tell for each network whether its accuracy is in its 90 % interval, `(n,)`.

    Args:
        mean: What was estimated, `(n,)`.
        std: Its deviation, `(n,)`.
        truth: What the accuracy is, `(n,)`.
    """
    from scipy.special import ndtri

    return np.asarray(np.abs(truth - mean) <= float(ndtri((1 + _WITHIN) / 2)) * std)


def highest_tau(images: int, top1: float, spread: float) -> float:
    """Return the tau that validation images leave at most, were everything else known.

    Args:
        images: How many validation images there are.
        top1: What the networks' accuracy is about, in percent.
        spread: True deviation from network to network, in points.

    Of networks of a normal spread, each accuracy with the binomial error of so many images: tau of
    two normal variables of correlation r is 2 arcsin(r) / pi (Greiner's relation).
    """
    share = top1 / 100
    error = 100 * np.sqrt(share * (1 - share) / images)
    return float(2 / np.pi * np.arcsin(spread / np.hypot(spread, error)))
