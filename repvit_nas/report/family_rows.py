"""The reference family beside a result: published and predicted, for tables and pictures."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from repvit_nas.accuracy.estimator import AccuracyEstimator, estimate
from repvit_nas.architecture import (
    FEATURES,
    LOGITS,
    SAM,
    Architecture,
    OutputKind,
    usual_output,
    with_output,
)
from repvit_nas.latency_lut.published import Handed, PublishedLatency, published_latency
from repvit_nas.predictors.predictor import LatencyEstimate, Predictor
from repvit_nas.search_space.downstream import Downstream, published_downstream
from repvit_nas.search_space.family import Reference, family, published_top1
from repvit_nas.shapes import shapes_of


class FamilyRow(NamedTuple):
    """One reference network.

    Attributes:
        reference: The network.
        resolution: Side of its input in pixels.
        num_classes: Outputs of its classifier.
        output: What it hands back.
        published_ms: Its latency on the device as published for such input and output, or None.
        published_decimals: Decimals it was published with.
        published_source: Who published it.
        latency: Its predicted latency.
        published_top1: Its published accuracy by the target recipe at this resolution, or None.
        accuracy: Its estimated accuracy.
        accuracy_std: The standard deviation of that.
        downstream: What was published of it behind detectors and the like, by metric.
    """

    reference: Reference
    resolution: int
    num_classes: int
    output: OutputKind
    published_ms: float | None
    published_decimals: int
    published_source: str
    latency: LatencyEstimate
    published_top1: float | None
    accuracy: float
    accuracy_std: float
    downstream: dict[str, Downstream]

    @property
    def latency_error(self) -> float | None:
        """The predicted latency against the published one, as a share; None if that is not known."""
        return (
            None if self.published_ms is None else self.latency.latency_ms / self.published_ms - 1
        )

    @property
    def accuracy_error(self) -> float | None:
        """The estimated accuracy less the published one in points; None if that is not known."""
        return None if self.published_top1 is None else self.accuracy - self.published_top1

    def document(self) -> dict[str, Any]:
        """Return the row as plain values under the names that JSON and frames use."""
        error = self.accuracy_error
        return {
            "network": self.reference.name,
            "title": self.reference.title,
            "resolution": self.resolution,
            "published_ms": self.published_ms,
            "published_source": self.published_source,
            **self.latency._asdict(),
            "latency_error": self.latency_error,
            "published_top1": self.published_top1,
            "accuracy": round(self.accuracy, 3),
            "accuracy_std": round(self.accuracy_std, 3),
            "accuracy_error": None if error is None else round(error, 3),
            **{f"published {metric}": row.value for metric, row in self.downstream.items()},
        }


def decimals(rounding: float) -> int:
    """Return how many decimals a figure rounded to steps of `rounding` has."""
    return max(0, round(-math.log10(rounding)))


def family_rows(
    published: Sequence[PublishedLatency],
    predictor: Predictor,
    estimator: AccuracyEstimator,
    *,
    resolution: int = 224,
    num_classes: int = 1000,
    output: OutputKind = LOGITS,
) -> list[FamilyRow]:
    """Predict every reference network on a device and look up what was published of it.

    Published figures are given only where they are of the same input and output: those of another
    resolution are no comparison.
    """
    output = usual_output(output, num_classes)
    networks = list(family().values())
    architectures = [
        with_output(network.architecture, output, num_classes=num_classes, resolution=resolution)
        for network in networks
    ]
    estimated = estimate(estimator, shapes_of(architectures))
    rows = []
    for index, (network, architecture) in enumerate(zip(networks, architectures, strict=True)):
        latency = _published(architecture, published)
        # The published accuracies are all of the size and the classes that the family was made for,
        # which is what maps are judged by.
        same = architecture == network.architecture or output != LOGITS
        top1 = published_top1(network.name) if same else None
        rows.append(
            FamilyRow(
                reference=network,
                resolution=resolution,
                num_classes=num_classes,
                output=output,
                published_ms=latency.latency_ms if latency else None,
                published_decimals=decimals(latency.rounding_ms) if latency else 0,
                published_source=latency.source if latency else "",
                latency=predictor.estimate(architecture),
                published_top1=top1.top1 if top1 else None,
                accuracy=float(estimated.mean[index]),
                accuracy_std=float(estimated.std[index]),
                downstream=published_downstream(network.name, output),
            )
        )
    return rows


def family_input(rows: Sequence[FamilyRow]) -> str:
    """Say of which input and output the figures are; empty for the family as it was made."""
    row = rows[0]
    made_for = row.reference.architecture
    said = []
    if row.resolution != made_for.resolution:
        said.append(f"at {row.resolution} px")
    if row.output != LOGITS:
        said.append("as backbones" if row.output == FEATURES else f"as {row.output} encoders")
    elif row.num_classes != made_for.num_classes:
        said.append(f"with {row.num_classes:,} classes")
    return " ".join(said)


def _published(
    architecture: Architecture, published: Sequence[PublishedLatency]
) -> PublishedLatency | None:
    """Return the published latency of a reference network with such an input and output, if any."""
    name, side = architecture.name, architecture.resolution
    if architecture.output == SAM:  # a network of its own there, that hands back one map
        rows = [
            row
            for row in published
            if (row.network, row.resolution, row.output) == (f"{name}_sam", side, "map")
        ]
        return rows[0] if rows else None
    output: dict[int, Handed] = {0: "features", 1000: "logits"}
    if architecture.output not in (LOGITS, FEATURES) or architecture.num_classes not in output:
        return None
    return published_latency(
        name, published, resolution=side, output=output[architecture.num_classes]
    )
