"""How fast a machine was at each visit, as the programs visited around it show.

A shared processor is slower for some seconds or minutes, and a round takes longer than that: what all
programs of a stretch have in common is the machine's, not theirs. Rounds are shuffled, so a stretch holds
other programs each time, and what a program usually takes is known from all its rounds.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from repvit_nas.latency_lut.statistics import Figures, Statistic, figures, noise_floor
from repvit_nas.latency_lut.terms import PlanTerms
from repvit_nas.latency_lut.visits import Samples, Visit, by_round
from repvit_nas.shapes import Floats

# Visits to either side that tell of one between them: a few hundred milliseconds each way.
_NEIGHBOURS: Final = 6
# A program that was visited in fewer rounds does not tell what it usually takes.
_TELLING_ROUNDS: Final = 3
# What is usual follows from the pace, and the pace from what is usual.
_PASSES: Final = 3
# The quantile of a visit's calls that tells of the machine: low, so that one late call does not.
_QUANTILE: Final = 0.25


def slowness(
    latency_ms: Floats, program: npt.NDArray[np.intp], number: npt.NDArray[np.intp]
) -> Floats:
    """Return by which factor the machine was slower than usual at each visit, `(n,)`.

    A visit takes no part in its own factor, so correcting by it never makes a program agree with
    itself by construction.

    Args:
        latency_ms: What each visit said, in the order of time, `(n,)`.
        program: Which program it visited, `(n,)`.
        number: The round that it belongs to, `(n,)`; rounds may lie hours apart.
    """
    logs = np.log(latency_ms)
    members = [np.flatnonzero(program == each) for each in np.unique(program)]
    members = [rows for rows in members if len(np.unique(number[rows])) >= _TELLING_ROUNDS]
    slower = np.zeros_like(logs)
    for _ in range(_PASSES if members else 0):
        off = np.full_like(logs, np.nan)
        for rows in members:
            off[rows] = logs[rows] - np.median(logs[rows] - slower[rows])
        slower = _around(off, number)
    return np.asarray(np.exp(slower))


def _around(off: Floats, number: npt.NDArray[np.intp]) -> Floats:
    """Return the median of what lies around each, itself left out, `(n,)`; 0 where nothing does."""
    size = len(off)
    near = np.full((2 * _NEIGHBOURS, size), np.nan)
    shifts = [shift for shift in range(-_NEIGHBOURS, _NEIGHBOURS + 1) if shift]
    for row, shift in zip(near, shifts, strict=True):
        here = np.arange(max(0, -shift), min(size, size - shift))
        there = here + shift
        row[here] = np.where(number[here] == number[there], off[there], np.nan)
    told = np.isfinite(near).any(axis=0)
    found = np.zeros(size)
    found[told] = np.nanmedian(near[:, told], axis=0)
    return found


class Paced(NamedTuple):
    """Visits as they would have been at the machine's usual pace.

    Attributes:
        visits: In the order of time.
        moved: How far the pace moved, relative standard deviation.
    """

    visits: list[Visit]
    moved: float


def at_usual_pace(visits: Sequence[Visit]) -> Paced:
    """Return visits as they would have been at the machine's usual pace."""
    ordered = sorted(visits, key=lambda visit: (visit.round, visit.position))
    _, program = np.unique([visit.key for visit in ordered], return_inverse=True)
    factors = slowness(
        np.array([np.quantile(visit.samples, _QUANTILE) for visit in ordered]),
        program,
        np.array([visit.round for visit in ordered], dtype=np.intp),
    )
    corrected = [
        msgspec.structs.replace(visit, samples=tuple((np.array(visit.samples) / slower).tolist()))
        for visit, slower in zip(ordered, factors, strict=True)
    ]
    return Paced(corrected, float(factors.std()) if len(factors) else 0.0)


class Steadiest(NamedTuple):
    """Figures of programs, and what they were corrected by.

    Attributes:
        figures: The figures.
        sentinel: The sentinel's samples as they were timed, by round.
    """

    figures: Figures
    sentinel: dict[int, list[Samples]]


def steadiest(
    visits: Sequence[Visit], asked: PlanTerms, statistic: Statistic | None = None
) -> Steadiest:
    """Return the figures of all programs of a plan that were visited.

    Visits are corrected for the machine's pace where that is worth more than as many rounds again: then
    odd and even rounds agree better by more than the square root of 2. On a machine that others disturb
    for moments it is not, and a low quantile is the better remedy. Figures that are compared with others
    are corrected where those were: a minimum at the usual pace is another figure than a minimum as timed.

    Args:
        visits: The visits.
        asked: What the rows of the plan's table follow from.
        statistic: The statistic to take; the steadiest by default.
    """
    paced = at_usual_pace(visits)
    as_timed, at_pace = (
        by_round(each, asked.groups, asked.sentinel) for each in (visits, paced.visits)
    )
    known = figures(as_timed.programs, as_timed.sentinel, groups=asked.groups, statistic=statistic)
    # Of drift, the pace holds all that the sentinel could show.
    steadied = figures(at_pace.programs, {}, groups=asked.groups, statistic=statistic)
    takes = None if statistic is None else statistic.paced
    if takes is None:
        networks = [key for each in asked.networks for key, _ in each.terms]
        before, after = (
            noise_floor(each, networks or [*each.position]) for each in (known, steadied)
        )
        takes = after < before / math.sqrt(2)
    if takes and paced.moved:
        known = steadied._replace(pace=paced.moved)
    return Steadiest(known, as_timed.sentinel)
