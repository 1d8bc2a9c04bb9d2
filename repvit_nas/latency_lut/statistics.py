"""What rounds of visits say: the statistic of a visit and of the rounds, drift, and intervals.

Which statistic is taken is decided by repeatability, twice: of a visit's samples, the quantile that
differs least between rounds; of the rounds, the quantile that differs least between odd and even
rounds. On shared machines, where others' work only ever adds time, that is the minimum or near it; on
quiet ones, where noise goes both ways, the median.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from repvit_nas.shapes import Floats

PROTOCOL_VERSION: Final = 1
# Quantiles of a visit's samples among which the statistic is chosen, and quantiles of rounds.
STATISTICS: Final = (0.0, 0.1, 0.25, 0.5)
ACROSS_ROUNDS: Final = (0.0, 0.25, 0.5)
_BOOTSTRAPS: Final = 200
# Standard deviations on either side that hold 90 % of a normal distribution.
NORMAL_90: Final = 1.645
# Fewer rounds of one program than these say less of its error than all programs together do.
_TELLING_ROUNDS: Final = 4
# No visit repeats better than this.
_LEAST_REPEAT: Final = 0.003
# A sentinel that moves by less than this many of its own standard errors is noise, not drift.
_DRIFT_ERRORS: Final = 3.0


class Figures(NamedTuple):
    """Drift-corrected milliseconds of programs by round, `(programs, rounds)`, nan where missing.

    Attributes:
        position: The row of each program's key.
        latency_ms: The statistic of each visit, divided by the round's drift.
        statistic: The quantile that was taken.
        variation: How far rounds differ, relative standard deviation, by quantile.
        drift: What the rounds were divided by, `(rounds,)`.
        across: The quantile that is taken over rounds.
        repeat: Relative standard deviation of each program's figure, from odd against even rounds
            of all programs of its group, `(programs,)`.
        pace: How far the machine's pace moved within rounds, relative standard deviation, where
            visits were corrected for it; 0 where they were not.
    """

    position: dict[str, int]
    latency_ms: Floats
    statistic: float
    variation: dict[float, float]
    drift: Floats
    across: float
    repeat: Floats
    pace: float = 0.0

    def row(self, key: str) -> Floats:
        """Return the milliseconds of one program by round."""
        return np.asarray(self.latency_ms[self.position[key]])

    def timed(self, key: str) -> Floats:
        """Return the milliseconds of one program in the rounds in which it was timed."""
        row = self.row(key)
        return row[np.isfinite(row)]


class Statistic(NamedTuple):
    """Which quantile of a visit's samples counts, and which of the rounds.

    Attributes:
        within: The quantile of a visit's samples.
        across: The quantile of the rounds.
        paced: Whether visits are divided by the machine's pace; None where repeatability decides.
    """

    within: float
    across: float
    paced: bool | None = None


def figures(
    visits: Mapping[str, Mapping[int, Sequence[float]]],
    sentinel: Mapping[int, Sequence[Sequence[float]]],
    *,
    groups: Mapping[str, str] | None = None,
    statistic: Statistic | None = None,
) -> Figures:
    """Turn visits into figures: choose the statistic, see and correct drift.

    Args:
        visits: The samples by program and round.
        sentinel: The sentinel's samples by round.
        groups: What kind of program each is; programs of a kind repeat alike. One kind by default.
        statistic: The statistic to take instead of choosing one.
    """
    rounds = 1 + max((number for by_round in visits.values() for number in by_round), default=-1)
    keys = list(visits)
    tables = {quantile: _table(visits, keys, rounds, quantile) for quantile in STATISTICS}
    drifts = {quantile: drift(sentinel, rounds, quantile) for quantile in STATISTICS}
    variation = {
        quantile: variation_between_rounds(tables[quantile] / drifts[quantile])
        for quantile in STATISTICS
    }
    # With one round nothing is known of repeatability; the lowest quantile is the safe choice.
    best = min(STATISTICS, key=lambda quantile: (round(variation[quantile], 5), quantile))
    if statistic is not None:
        best = min(STATISTICS, key=lambda quantile: abs(quantile - statistic.within))
    position = {key: row for row, key in enumerate(keys)}
    corrected = tables[best] / drifts[best]
    repeats = {share: repeatability(corrected, share) for share in ACROSS_ROUNDS}
    across = min(ACROSS_ROUNDS, key=lambda share: (round(repeats[share], 5), share))
    if statistic is not None:
        across = statistic.across
    kinds = np.array([groups.get(key, "") if groups else "" for key in keys])
    repeat = np.zeros(len(keys))
    for kind in np.unique(kinds):
        repeat[kinds == kind] = repeatability(corrected[kinds == kind], across)
    return Figures(position, corrected, best, variation, drifts[best], across, repeat)


def repeatability(table: Floats, across: float) -> float:
    """Return the relative standard deviation of programs' figures, 0 if nothing is known of it.

    Odd rounds are set against even ones. A half's figure deviates by their difference over the
    square root of 2; a whole one, with twice the rounds, by the square root of 2 less. (A minimum
    over rounds of which some are undisturbed gains more; that is not counted on.)

    Args:
        table: Milliseconds of programs by round, nan where missing.
        across: The quantile that is taken over rounds.
    """
    ratios = []
    for row in table:
        timed = row[np.isfinite(row)]
        if len(timed) > 1:
            one, other = (np.quantile(timed[start::2], across) for start in (0, 1))
            ratios.append(math.log(one / other))
    if not ratios:
        return 0.0
    return math.sqrt(float(np.mean(np.square(ratios)))) / 2


def _table(
    visits: Mapping[str, Mapping[int, Sequence[float]]],
    keys: Sequence[str],
    rounds: int,
    quantile: float,
) -> Floats:
    table = np.full((len(keys), rounds), np.nan)
    for row, key in enumerate(keys):
        for number, samples in visits[key].items():
            table[row, number] = np.quantile(samples, quantile)
    return table


def variation_between_rounds(table: Floats) -> float:
    """Return the median over programs of the relative standard deviation between rounds."""
    repeated = table[np.isfinite(table).sum(axis=1) > 1]
    if not len(repeated):
        return 0.0
    deviations = np.nanstd(repeated, axis=1, ddof=1) / np.nanmean(repeated, axis=1)
    return float(np.median(deviations))


def drift(
    sentinel: Mapping[int, Sequence[Sequence[float]]], rounds: int, quantile: float
) -> Floats:
    """Return how much slower each round was than usual, `(rounds,)`; 1 where that is only noise."""
    factors = np.ones(rounds)
    logs = {
        number: np.log([np.quantile(samples, quantile) for samples in by_visit])
        for number, by_visit in sentinel.items()
        if number < rounds and len(by_visit)
    }
    if len(logs) < 2:
        return factors
    usual = float(np.median([values.mean() for values in logs.values()]))
    pooled = [values - values.mean() for values in logs.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in pooled)
    noise = math.sqrt(sum(float(v @ v) for v in pooled) / freedom) if freedom else 0.0
    for number, values in logs.items():
        moved = float(values.mean()) - usual
        if abs(moved) > _DRIFT_ERRORS * noise / math.sqrt(len(values)):
            factors[number] = math.exp(moved)
    return factors


class Estimate(NamedTuple):
    """A quantity that follows from programs' figures.

    Attributes:
        value_ms: Its value.
        sd_ms: Standard deviation of that.
        low_ms: Lower end of its 90 % bootstrap interval over rounds.
        high_ms: Upper end.
        rounds: Rounds in which the program that was timed least was timed.
    """

    value_ms: float
    sd_ms: float
    low_ms: float
    high_ms: float
    rounds: int


def estimate(
    known: Figures,
    terms: Sequence[tuple[str, float]],
    *,
    usual_repeat: float | None = None,
    seed: int = 0,
) -> Estimate:
    """Estimate a weighted sum of programs' figures.

    Rounds are resampled for the interval. Few rounds may agree by chance, so it is never narrower
    than what programs' figures usually repeat to.

    Args:
        known: The figures.
        terms: Keys of programs, each with its weight.
        usual_repeat: By which share two visits of a program differ where the rounds do not tell;
            None takes what was never repeated for exact.
        seed: Of the resampling.

    Raises:
        ValueError: One of the programs was never timed.
    """
    timed = [(key, coefficient, known.timed(key)) for key, coefficient in terms]
    rounds = min(len(row) for _, _, row in timed)
    if not rounds:
        raise ValueError(f"each program must have been timed; got none of one of {[*terms]}")
    rng = np.random.default_rng(seed)
    value, usual, resampled = 0.0, 0.0, np.zeros(_BOOTSTRAPS)
    for key, coefficient, row in timed:
        figure = float(np.quantile(row, known.across))
        value += coefficient * figure
        usual += (coefficient * figure * known.repeat[known.position[key]]) ** 2
        drawn = row[rng.integers(0, len(row), (_BOOTSTRAPS, len(row)))]
        resampled += coefficient * np.quantile(drawn, known.across, axis=1)
    deviation = max(float(resampled.std()), math.sqrt(usual))
    if usual_repeat is not None and rounds < _TELLING_ROUNDS:
        variation = known.variation[known.statistic]
        repeat = max(variation, _LEAST_REPEAT) if variation else usual_repeat
        parts = [coefficient * float(np.median(row)) for _, coefficient, row in timed]
        deviation = max(deviation, repeat * float(np.linalg.norm(parts)) / math.sqrt(rounds))
    low, high = (float(bound) for bound in np.quantile(resampled, (0.05, 0.95)))
    return Estimate(
        value,
        deviation,
        min(low, value - NORMAL_90 * deviation),
        max(high, value + NORMAL_90 * deviation),
        rounds,
    )


def rounded(found: Estimate) -> Estimate:
    """Return a quantity as it is kept: to the nanosecond, and never without error."""
    return Estimate(
        round(found.value_ms, 6),
        max(1e-6, round(found.sd_ms, 6)),
        round(found.low_ms, 6),
        round(found.high_ms, 6),
        found.rounds,
    )


def sentinel_ms(known: Figures, sentinel: Mapping[int, Sequence[Sequence[float]]]) -> float | None:
    """Return what the sentinel took as it was timed, drift and pace included; None if it never was.

    Args:
        known: The figures, whose statistics are taken.
        sentinel: The sentinel's samples by round.
    """
    took = [np.quantile(each, known.statistic) for visits in sentinel.values() for each in visits]
    return round(float(np.quantile(took, known.across)), 5) if took else None


def noise_floor(known: Figures, keys: Sequence[str]) -> float:
    """Return how far networks' figures are off by noise alone, as root mean square share.

    It is estimated from odd against even rounds, see :func:`repeatability`: the error that a perfect
    predictor would seem to have. Nan if there are fewer than two rounds.
    """
    rows = np.array([known.row(key) for key in keys])
    if not len(rows) or not (np.isfinite(rows).sum(axis=1) > 1).any():
        return math.nan
    return repeatability(rows, known.across)


def advice(noise: float, variation: float) -> str:
    """Say what to do about a machine that is too noisy; empty if it is not.

    Args:
        noise: How far networks' figures are off by noise alone, a share.
        variation: How far visits of one program differ between rounds, a share.
    """
    if noise < 0.03 and variation < 0.05:
        return ""
    return (
        f"this machine is noisy: visits of one program differ by {variation:.1%} between rounds, "
        f"and networks' figures are off by {noise:.1%}. Close other programs, give it "
        "more --minutes, keep the processor's frequency fixed, and leave a core free (taskset)."
    )
