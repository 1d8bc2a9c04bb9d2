"""Whether the models that an ensemble is made of agree about who won.

An ensemble's members differ in how a device works. Where some of them would have had another network win,
the choice is not the search's alone, and the user is told.
"""

from typing import Final

import numpy as np

from repvit_nas.searching.front import Front
from repvit_nas.searching.problem import Problem
from repvit_nas.shapes import Floats, Integers
from repvit_nas.units import count, rows

# Percentage points of the accuracy's lower bound by which another network has to be better.
GAIN: Final = 0.1
# Below this share of members nothing is said.
LEAST: Final = 0.1
# Members differ by a hundredth or two about two networks of a front; who is slower than this is slower.
NEAR: Final = 1.03


def disputed(problem: Problem, front: Front, chosen: Integers) -> dict[int, float]:
    """Return the rows of `chosen` that many members dispute, and the largest share that does.

    A member disputes a winner where another network of the front is clearly more accurate and by
    the member's account no slower, on any one device.
    """
    found: dict[int, float] = {}
    for device, predictor in enumerate(problem.predictors):
        near = rivals(front.objectives[:, device], front.objectives[:, -1], chosen)
        named = sorted({*map(int, chosen), *(int(row) for group in near for row in group)})
        shapes = problem.decode(front.choices[named])
        totals = {
            row: predictor.totals(count(rows(shapes.architecture(index, ""))))
            for index, row in enumerate(named)
        }
        for winner, group in zip(map(int, chosen), near, strict=True):
            others = [totals[int(row)] for row in group]
            share = overtaken(totals[winner], np.array(others)) if others else 0.0
            if share >= LEAST:
                found[winner] = max(found.get(winner, 0.0), share)
    return found


def rivals(latency_ms: Floats, objective: Floats, chosen: Integers) -> list[Integers]:
    """Return for each of `chosen` the rows that are clearly more accurate and not much slower.

    Args:
        latency_ms: The ensemble's mean, `(n,)`.
        objective: Negative lower bound of the accuracy, `(n,)`.
        chosen: Rows of winners.
    """
    return [
        np.flatnonzero(
            (objective <= objective[row] - GAIN) & (latency_ms <= NEAR * latency_ms[row])
        )
        for row in chosen
    ]


def overtaken(winner_ms: Floats, rivals_ms: Floats) -> float:
    """Return the share of members by whose account any rival is no slower than the winner.

    Args:
        winner_ms: What each member says of the winner, `(members,)`.
        rivals_ms: The same of its rivals, `(rivals, members)`.
    """
    return float((rivals_ms <= winner_ms).any(axis=0).mean())
