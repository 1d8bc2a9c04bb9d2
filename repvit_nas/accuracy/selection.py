"""Which networks to train next: those that say most about which network is best.

What a search needs is not each accuracy but the differences to the network that it would take. So a
network is worth training by how much it lowers the variance of the candidates' differences to the
incumbent, each weighted by how probably the candidate is the better one. With a linear model that
is a ratio of two quadratic forms, so choosing among thousands of candidates takes milliseconds.
"""

from typing import Final

import numpy as np

from repvit_nas.accuracy.regression import Normal, line
from repvit_nas.shapes import Floats

# Effects drawn to see which candidate could be the best.
_DRAWS: Final = 400


def choose(effects: Normal, matrix: Floats, beyond: float, count: int) -> list[int]:
    """Return the rows of the networks to train, in the order in which they were chosen.

    Args:
        effects: What is known of the features.
        matrix: Features of the candidates, `(n, p)`.
        beyond: Variance of one training that the features do not explain.
        count: How many to choose.
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
    rows: list[int] = []
    for _ in range(min(count, len(matrix))):
        seen = root @ left
        gain = np.einsum("ij,ij->i", seen @ weighted, seen)
        gain /= np.einsum("ij,ij->i", seen, root) + beyond
        row = int(np.where(free, gain, -np.inf).argmax())
        lowers = left @ root[row]
        left -= np.outer(lowers, lowers) / (root[row] @ lowers + beyond)
        free[row] = False
        rows.append(row)
    return rows


def expected_regret(effects: Normal, matrix: Floats, *, seed: int = 0) -> float:
    """Return by how many points the best candidate is expected to be ahead of the one that seems best.

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
    return float((accuracy.max(axis=0) - accuracy[incumbent]).mean())
