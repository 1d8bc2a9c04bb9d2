"""The reference family beside a result: published and predicted, for tables and pictures."""

import math
from typing import NamedTuple

from repvit_nas.accuracy.estimator import AccuracyEstimator
from repvit_nas.latency_lut.device import Device
from repvit_nas.latency_lut.published import PUBLISHED_FILE, published_latency, read_published
from repvit_nas.predictors.predictor import LatencyEstimate, Predictor
from repvit_nas.search_space.family import Reference, family, published_top1
from repvit_nas.shapes import shapes_of


class FamilyRow(NamedTuple):
    """One reference network.

    Attributes:
        reference: The network.
        published_ms: Its published latency on the device, or None.
        published_decimals: Decimals it was published with.
        published_source: Who published it.
        latency: Its predicted latency.
        published_top1: Its published accuracy by the target recipe, or None.
        accuracy: Its estimated accuracy.
        accuracy_std: The standard deviation of that.
    """

    reference: Reference
    published_ms: float | None
    published_decimals: int
    published_source: str
    latency: LatencyEstimate
    published_top1: float | None
    accuracy: float
    accuracy_std: float


def decimals(rounding: float) -> int:
    """Return how many decimals a figure rounded to steps of `rounding` has."""
    return max(0, round(-math.log10(rounding)))


def family_rows(
    device: Device, predictor: Predictor, estimator: AccuracyEstimator
) -> list[FamilyRow]:
    """Predict every reference network on a device and look up what was published of it."""
    path = device.path(PUBLISHED_FILE)
    published = read_published(path) if path.is_file() else []
    networks = list(family().values())
    estimate = estimator.estimate(shapes_of([network.architecture for network in networks]))
    rows = []
    for index, network in enumerate(networks):
        latency = published_latency(network.name, published)
        top1 = published_top1(network.name)
        rows.append(
            FamilyRow(
                reference=network,
                published_ms=latency.latency_ms if latency else None,
                published_decimals=decimals(latency.rounding_ms) if latency else 0,
                published_source=latency.source if latency else "",
                latency=predictor.estimate(network.architecture),
                published_top1=top1.top1 if top1 else None,
                accuracy=float(estimate.mean[index]),
                accuracy_std=float(estimate.std[index]),
            )
        )
    return rows
