"""How far off the estimator of a campaign is, on the networks that it kept for that."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from repvit_nas import files
from repvit_nas.accuracy.held_out import (
    FEWEST_NETWORKS,
    LATENCY,
    VALIDATION_FILE,
    AccuracyValidation,
    truth_of,
    validate,
)
from repvit_nas.accuracy.observations import ObservationLog
from repvit_nas.accuracy.trained import read
from repvit_nas.architecture import Architecture
from repvit_nas.campaign.records import CAMPAIGN_FILE, read_campaign
from repvit_nas.errors import RepvitNasError
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.shapes import Floats


def validation_of(folder: Path) -> AccuracyValidation | None:
    """Compare an estimator with the held-out networks of its campaign, and write that down.

    Returns:
        The comparison; None where too few held-out networks are trained, or nothing is fitted.

    Raises:
        FileError: Something cannot be read or written.
    """
    held_out = [each for each in ObservationLog(folder).read() if each.held_out]
    if len({each.architecture for each in held_out}) < FEWEST_NETWORKS:
        return None
    try:
        estimator = read(folder)
    except RepvitNasError:  # too few networks that a fit may see
        return None
    truth = truth_of(held_out, folder)
    found = validate(estimator, truth, other_scores=_latencies(folder, truth.networks))
    files.write_json(folder / VALIDATION_FILE, found)
    return found


def _latencies(folder: Path, networks: Sequence[Architecture]) -> dict[str, Floats]:
    """Return the latency of networks on the first device of the campaign, if there was one."""
    if not (folder / CAMPAIGN_FILE).is_file():
        return {}
    device = next(iter(read_campaign(folder).asked.budgets_ms))
    predictor, _ = load_predictor(device, foreign=True)
    return {LATENCY: np.array([predictor.estimate(each).latency_ms for each in networks])}
