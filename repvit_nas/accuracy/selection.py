"""Which networks to train next: those that say most about which network is best.

What a search needs is not each accuracy but the differences to the network that it would take. So a
network is worth training by how much it lowers the variance of the candidates' differences to the
incumbent, each weighted by how probably the candidate is the better one. With a linear model that
is a ratio of two quadratic forms, so choosing among thousands of candidates takes milliseconds.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.accuracy.regression import Normal, line
from repvit_nas.shapes import Floats

# Effects drawn to see which candidate could be the best.
_DRAWS: Final = 400


class Chosen(NamedTuple):
    """What to train next.

    Attributes:
        rows: Candidates in the order in which they were chosen, `(count,)`.
        left: Share of the weighted variance of the differences that is left after each, `(count,)`.
    """

    rows: npt.NDArray[np.intp]
    left: Floats


def choose(
    effects: Normal,
    matrix: Floats,
    beyond: float,
    count: int,
    *,
    taken: npt.NDArray[np.intp] | None = None,
) -> Chosen:
    """Choose networks to train.

    Args:
        effects: What is known of the features.
        matrix: Features of the candidates, `(n, p)`.
        beyond: Variance of one training that the features do not explain.
        count: How many to choose.
        taken: Candidates that are trained anyway, and so not chosen again.
    """
    from scipy.special import ndtr

    given = line(effects)
    root = matrix @ given.root
    mean = matrix @ given.mean
    free = np.ones(len(matrix), dtype=bool)
    incumbent = int(mean.argmax())
    away = root - root[incumbent]
    variance = np.einsum("ij,ij->i", away, away)
    better = ndtr((mean - mean[incumbent]) / np.sqrt(np.maximum(variance, 1e-12)))
    better[incumbent] = 0.0
    weighted = (away * better[:, None]).T @ away
    # The covariance in the coordinates of the root, lowered by each network as it is chosen.
    left = np.eye(root.shape[1])
    for row in np.array([], dtype=np.intp) if taken is None else taken:
        left = _lowered(left, root[row], beyond)
        free[row] = False
    whole = max(float(np.trace(weighted @ left)), 1e-300)
    rows, shares = [], []
    for _ in range(min(count, int(free.sum()))):
        seen = root @ left
        gain = np.einsum("ij,ij->i", seen @ weighted, seen)
        gain /= np.einsum("ij,ij->i", seen, root) + beyond
        row = int(np.where(free, gain, -np.inf).argmax())
        left = _lowered(left, root[row], beyond)
        free[row] = False
        rows.append(row)
        shares.append(float(np.trace(weighted @ left)) / whole)
    return Chosen(np.array(rows, dtype=np.intp), np.array(shares))


def _lowered(left: Floats, row: Floats, beyond: float) -> Floats:
    """Return the covariance once a network of the features `row` is trained."""
    seen = left @ row
    return np.asarray(left - np.outer(seen, seen) / (row @ seen + beyond))


class Regret(NamedTuple):
    """What is lost by taking the network that seems best.

    Attributes:
        incumbent: Its row.
        points: By how much the network that is best is expected to be better.
    """

    incumbent: int
    points: float


def expected_regret(effects: Normal, matrix: Floats, *, seed: int = 0) -> Regret:
    """Return how far the best of the candidates is expected to be ahead of the one that seems best.

    Args:
        effects: What is known of the features.
        matrix: Features of the candidates, `(n, p)`.
        seed: Of the effects that are drawn.
    """
    given = line(effects)
    root = matrix @ given.root
    mean = matrix @ given.mean
    incumbent = int(mean.argmax())
    drawn = np.random.default_rng(seed).standard_normal((root.shape[1], _DRAWS))
    accuracy = mean[:, None] + root @ drawn
    return Regret(incumbent, float((accuracy.max(axis=0) - accuracy[incumbent]).mean()))
