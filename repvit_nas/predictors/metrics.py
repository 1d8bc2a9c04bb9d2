"""How far predictions of whole networks are from what was measured, and from simpler predictors."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.table import NetworkRow, Table, isolated_sum
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.quantities import Correlation, Count, Deviation, Percent, Signed
from repvit_nas.shapes import Floats
from repvit_nas.units import count, rows

PREDICTOR: Final = "predictor"
ISOLATED: Final = "sum of isolated units"
MACS: Final = "MACs alone"
PARAMS: Final = "parameters alone"


class PredictionErrors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Errors of predicted latencies, in percent where not said otherwise.

    Attributes:
        networks: How many were compared.
        rmspe: Root mean square percentage error.
        mape: Mean absolute percentage error.
        bias: Mean percentage error; above 0 where predictions are too high.
        within_5: Share of networks within 5 %.
        within_10: Share of networks within 10 %.
        kendall_tau: Rank correlation, -1 to 1.
        spearman_rho: Rank correlation, -1 to 1.
    """

    networks: Count
    rmspe: Deviation
    mape: Deviation
    bias: Signed
    within_5: Percent
    within_10: Percent
    kendall_tau: Correlation
    spearman_rho: Correlation


def scores(measured: Floats, predicted: Floats) -> PredictionErrors:
    """Compare predictions with measurements, `(n,)` each, at least two.

    Raises:
        RepvitNasError: There are fewer than two networks.
    """
    from scipy.stats import kendalltau, spearmanr

    if len(measured) < 2:
        raise RepvitNasError(f"at least 2 networks are needed to compare; got {len(measured)}")
    share = predicted / measured - 1
    return PredictionErrors(
        networks=len(measured),
        rmspe=_percent(np.sqrt(np.mean(share**2))),
        mape=_percent(np.mean(np.abs(share))),
        bias=_percent(np.mean(share)),
        within_5=_percent(np.mean(np.abs(share) <= 0.05)),
        within_10=_percent(np.mean(np.abs(share) <= 0.10)),
        kendall_tau=_correlation(float(kendalltau(measured, predicted).statistic)),
        spearman_rho=_correlation(float(spearmanr(measured, predicted).statistic)),
    )


def predictions(predictor: Predictor, networks: Sequence[NetworkRow]) -> Floats:
    """Return predicted milliseconds of networks, `(n,)`."""
    return np.array([predictor.estimate(row.architecture).latency_ms for row in networks])


def compared(
    predictor: Predictor, table: Table, networks: Sequence[NetworkRow]
) -> dict[str, PredictionErrors]:
    """Score the predictor and the three baselines on networks that no fit saw.

    MACs and parameters get the best line through the calibration networks, in relative errors; the
    sum of isolated units is taken as it is, and is left out where the units were not timed.
    """
    measured = np.array([row.latency_ms for row in networks])
    found = {PREDICTOR: scores(measured, predictions(predictor, networks))}
    sums = np.array(
        [isolated_sum(table.isolated, count(rows(row.architecture))) for row in networks]
    )
    if np.isfinite(sums).all():
        found[ISOLATED] = scores(measured, sums)
    calibration = table.networks("calibration")
    for name, attribute in ((MACS, "macs"), (PARAMS, "params")):
        found[name] = scores(
            measured,
            _line(_totals(calibration, attribute), calibration, _totals(networks, attribute)),
        )
    return found


def _totals(networks: Sequence[NetworkRow], attribute: str) -> Floats:
    return np.array(
        [sum(getattr(unit, attribute) for unit in rows(row.architecture)) for row in networks],
        dtype=np.float64,
    )


def _line(known: Floats, networks: Sequence[NetworkRow], asked: Floats) -> Floats:
    """Return a straight line, fitted in relative errors, at `asked`."""
    latency = np.array([row.latency_ms for row in networks])
    matrix = np.stack([np.ones_like(known), known], axis=1) / latency[:, None]
    (offset, slope), *_ = np.linalg.lstsq(matrix, np.ones_like(known), rcond=None)
    return np.asarray(offset + slope * asked)


def _correlation(found: float) -> float:
    """Return a rank correlation; 0 where all of a kind are alike, which makes no order."""
    return 0.0 if math.isnan(found) else round(found, 4)


def _percent(share: float | np.floating) -> float:
    return round(100 * float(share), 3)
