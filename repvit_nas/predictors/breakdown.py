"""Where the milliseconds of many networks go: the call, the stem, each stage, the head."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from repvit_nas.architecture import (
    FEATURES,
    LOGITS,
    SAM,
    SAM_FUSED,
    Architecture,
    OutputKind,
)
from repvit_nas.predictors.predictor import Predictor
from repvit_nas.units import End, rows

CALL: Final = "a call"
STEM: Final = "stem"
HEAD: Final = "head"
OUTPUTS: Final[dict[OutputKind, str]] = {
    LOGITS: HEAD,
    FEATURES: "feature maps",
    SAM: "neck",
    SAM_FUSED: "neck",
}

Parts = tuple[tuple[str, float], ...]


def parts_of(architecture: Architecture) -> list[str]:
    """Return which part of the network each unit of :func:`rows` belongs to."""
    units = rows(architecture)
    outputs = sum(isinstance(unit, End) for unit in units)
    depths = [stage.depth for stage in architecture.stages]
    # What is neither stem, block of a stage, nor output opens one of the three later stages.
    opening = (len(units) - 1 - outputs - sum(depths)) // (len(depths) - 1)
    labels = [STEM]
    for number, depth in enumerate(depths, start=1):
        labels += [f"into stage {number}"] * (opening if number > 1 else 0)
        labels += [f"stage {number}"] * depth
    return labels + [OUTPUTS[architecture.output]] * outputs


def breakdown(architectures: Sequence[Architecture], predictor: Predictor) -> list[Parts]:
    """Return the parts of each network with their milliseconds, in the order of the network.

    Args:
        architectures: The networks; units that they share are priced once.
        predictor: Of the device.
    """
    listed = [rows(architecture) for architecture in architectures]
    units = list(dict.fromkeys(unit for one in listed for unit in one))
    if not units:
        return []
    costs = dict(zip(units, predictor.unit_costs(units).mean(axis=1), strict=True))
    call = float(np.mean(predictor.overheads_ms))
    found = []
    for architecture, one in zip(architectures, listed, strict=True):
        parts = {CALL: call}
        for label, unit in zip(parts_of(architecture), one, strict=True):
            parts[label] = parts.get(label, 0.0) + float(costs[unit])
        found.append(tuple((label, round(value, 5)) for label, value in parts.items()))
    return found
