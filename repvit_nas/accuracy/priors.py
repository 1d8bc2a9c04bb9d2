"""What is believed of each effect before any RepViT result is seen, and what that rests on.

Points of ImageNet-1k top-1 at RepViT's scale. The evidence is in `search_space/accuracy_evidence.csv.gz`
(`docs/accuracy-model.md`); means were judged from it and are no findings, deviations say how far it
leaves them open.
"""

from typing import Final, NamedTuple

import numpy as np

from repvit_nas.accuracy.regression import Normal, independent

# Share of the four stages in the MACs of M0.9 to M2.3, rounded.
STAGE_SHARE: Final = np.array([0.09, 0.16, 0.61, 0.14])
# Weight of the stages in the compute term, and how unsure it is.
STAGE_WEIGHT: Final = np.array([0.06, 0.125, 0.625, 0.19])
STAGE_WEIGHT_STD: Final = np.array([0.03, 0.05, 0.07, 0.06])
# What a MAC of a stage is worth against the mean MAC: this, not the weight, carries over to networks
# whose compute is shared out otherwise.
STAGE_WORTH: Final = STAGE_WEIGHT / STAGE_SHARE
# Two trainings of one network differ by 0.1 points (M2 and M1.1, arXiv:2307.09283 logs); the rest
# is what the older depthwise branch and two rounded decimals add.
NOISE: Final = 0.15


class Prior(NamedTuple):
    """A normal prior of one effect, in points, and what it rests on."""

    mean: float
    std: float
    rests_on: str


_COMPUTE: Final = Prior(5.0, 3.0, "wide; the family itself determines it")
_WORTH: Final = "23 published families, weights ± .03 to .07; Accel-NASBench"
_TRANSFER: Final = "no shape effect transfers between 23 published families: mean near 0"
_DEPTH: Final = "scaling study (arXiv:1905.11946): +0.1 an octave for depth against width"
_SQUARE: Final = Prior(
    0.0, 0.15, "Accel-NASBench: no curvature against uneven shapes beyond `order`"
)
_GROWTH_SQUARE: Final = Prior(-0.15, 0.25, "widths never vary alone: judged, against extremes")
_EXPANSION: Final = "sign inconsistent between benchmarks at equal MACs"
_SE: Final = "Accel-NASBench on RepViT's scale: none to half +0.9, half to all +0.16"
_SE_STAGE: Final = "Accel-NASBench: a block of the last stage gains 0.25, of the first 0.05"
_RESOLUTION: Final = "MobileNetV2, MogaNet and the scaling study at several resolutions"
# What a stage loses that opens with a downsample alone, all that it costs included. No published network
# that the family learns from has one, so there this stays what is believed of it.
_PLAIN_STAGE: Final = Prior(
    -0.5, 0.4, "arXiv:2307.09283v8 section 3.3: three deep openings +1.5 (73.9 to 75.4)"
)
_RECIPE: Final = "wide; the rows of that recipe determine it"

# The names of the features that say how far a network is from the curve, in their order.
CURVED: Final = (
    "growth_1",
    "growth_2",
    "growth_3",
    "depth_0",
    "depth_1",
    "depth_3",
    "aspect",
    "expansion_0",
    "expansion_1",
    "expansion_2",
    "expansion_3",
)
STAGES: Final = tuple(f"stage_{stage}" for stage in range(4))
# The openings that may be plain; the first stage opens with the stem.
PLAIN_STAGES: Final = ("plain_1", "plain_2", "plain_3")

PRIORS: Final[dict[str, Prior]] = {
    "limit": Prior(85.0, 3.0, "the best networks of this recipe come near it"),
    "compute": _COMPUTE,
    **{
        name: Prior(0.0, float(_COMPUTE.mean * std / share), _WORTH)
        for name, std, share in zip(STAGES, STAGE_WEIGHT_STD, STAGE_SHARE, strict=True)
    },
    "order": Prior(
        0.1 * _COMPUTE.mean,
        0.2 * _COMPUTE.mean,
        "Accel-NASBench: logarithms punish uneven shapes slightly too much",
    ),
    "growth_1": Prior(0.0, 0.4, _TRANSFER),
    "growth_2": Prior(0.2, 0.5, _TRANSFER),
    "growth_3": Prior(0.0, 0.5, f"{_TRANSFER}; shared with `stage_3`"),
    "depth_0": Prior(-0.05, 0.3, _DEPTH),
    "depth_1": Prior(0.0, 0.3, _DEPTH),
    "depth_3": Prior(-0.2, 0.25, f"{_DEPTH}; shared with `stage_3`"),
    "aspect": Prior(0.1, 0.3, _DEPTH),
    "expansion_0": Prior(0.0, 0.3, _EXPANSION),
    "expansion_1": Prior(0.0, 0.3, _EXPANSION),
    "expansion_2": Prior(0.0, 0.3, _EXPANSION),
    "expansion_3": Prior(0.2, 0.35, f"{_EXPANSION}, positive only in the last stage"),
    **{
        f"{name}_squared": _GROWTH_SQUARE if name.startswith("growth") else _SQUARE
        for name in CURVED
    },
    "se": Prior(0.5, 0.2, _SE),
    "se_squared": Prior(-0.4, 0.2, _SE),
    "se_0": Prior(-0.05, 0.12, _SE_STAGE),
    "se_1": Prior(-0.05, 0.12, _SE_STAGE),
    "se_2": Prior(0.0, 0.12, _SE_STAGE),
    "se_3": Prior(0.15, 0.12, _SE_STAGE),
    "se_irregular": Prior(0.0, 0.3, "nobody published such placements"),
    "kernel": Prior(
        0.3, 0.3, "Accel-NASBench, positive; arXiv:2307.09283 section 3.4, 5 to 3 changed nothing"
    ),
    "resolution": Prior(3.4, 0.8, _RESOLUTION),
    "resolution_squared": Prior(-1.7, 0.8, _RESOLUTION),
    **dict.fromkeys(PLAIN_STAGES, _PLAIN_STAGE),
    # Effects of recipes and families, each also in proportion to the compute term.
    "distilled-450": Prior(0.4, 0.5, _RECIPE),
    "distilled-450 compute": Prior(0.0, 0.5, _RECIPE),
    "plain-300": Prior(-1.2, 1.0, _RECIPE),
    "plain-300 compute": Prior(0.0, 0.5, _RECIPE),
    "repnext": Prior(0.0, 0.3, _RECIPE),
    "repnext compute": Prior(0.0, 0.3, _RECIPE),
}
# The features that describe a network; the rest describe how a published row was made.
SHAPE_FEATURES: Final = tuple(PRIORS)[: list(PRIORS).index("distilled-450")]

# An octave of these moves the feature `stage_3` by so much at M1.0: what they are worth and what the
# last stage's MACs are worth is partly one question.
OVERLAPS: Final = {"growth_3": 0.07, "depth_3": 0.03}
# What another data set or recipe may do to the effects: any level, a slope on compute of
# 1 ± 0.7 times ours, and stages worth twice as uncertain.
_LEVEL_STD: Final = 30.0
_SLOPE_STD: Final = 0.7
_WORTH_FACTOR: Final = 2.0


def prior() -> Normal:
    """Return the prior of the effects, in the order of `PRIORS`.

    The deviations of `growth_3` and `depth_3` are those of all that an octave does, the worth of
    the last stage's MACs included. So they are correlated with `stage_3`: else the same doubt
    would count twice.
    """
    names = list(PRIORS)
    mean = np.array([prior.mean for prior in PRIORS.values()])
    std = np.array([prior.std for prior in PRIORS.values()])
    whole = np.eye(len(names))
    for name, moved in OVERLAPS.items():
        whole[names.index(name), names.index("stage_3")] = -moved
    return Normal(mean, whole @ independent(mean, std).covariance @ whole.T)


def elsewhere(effects: Normal) -> Normal:
    """Return what `effects` of the shape features tell of another data set or recipe.

    Shapes are worth what they are worth here; the level, the slope on compute and the worth of the
    stages are known less well.
    """
    added = np.zeros(len(SHAPE_FEATURES))
    level, compute = SHAPE_FEATURES.index("limit"), SHAPE_FEATURES.index("compute")
    added[level] = _LEVEL_STD**2
    added[compute] = (_SLOPE_STD * effects.mean[compute]) ** 2
    for name in STAGES:
        place = SHAPE_FEATURES.index(name)
        added[place] = (_WORTH_FACTOR**2 - 1) * PRIORS[name].std ** 2
    return Normal(effects.mean, effects.covariance + np.diag(added))
