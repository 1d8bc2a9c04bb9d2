"""What the estimators look at: descriptions of networks as columns of a regression.

    top1 = limit - compute * 2^(-g z) + sum over shape features of effect * feature + noise

`z` is the compute in octaves: the mean of the stages' log2 MACs, each against its share of the MACs of
the space's usual networks, weighted by that share times what a MAC of the stage is worth. On the
curve of usual networks, where every stage has its share, it is log2 of all MACs.

A space is described by :class:`Described`, so that networks of other spaces than RepViT's go through
the same columns with the same priors (`offcurve.py`).
"""

from typing import Final, NamedTuple

import numpy as np

from repvit_nas.accuracy.priors import CURVED, SHAPE_FEATURES, STAGE_SHARE, STAGE_WORTH
from repvit_nas.shapes import Floats, Shapes
from repvit_nas.units import stage_sizes

# Aspect (blocks per channel of the first stage) of M1.0, where the feature is 0.
_ASPECT: Final = 23 / 56
_PUBLISHED_EXPANSION: Final = 2.0
_ODD_BITS: Final = np.uint64(0x5555_5555_5555_5555)
_EVEN_BITS: Final = np.uint64(0xAAAA_AAAA_AAAA_AAAA)


class Described(NamedTuple):
    """`n` networks as the estimators see them.

    Attributes:
        share: Share of the stages in the MACs of the space's usual networks, `(4,)`.
        log_macs: log2 MACs of the stages at 224 px above those of a usual network, `(n, 4)`.
        off_curve: Octaves from the usual networks, `(n, len(CURVED))` in the order of `CURVED`.
        se: Blocks with SE in each stage, from -1 (none) to 1 (all), `(n, 4)`.
        se_total: The same over all blocks, `(n,)`.
        se_irregular: Share of blocks in stages whose SE follows no published pattern, `(n,)`.
        kernel: Mean over the stages of log2 of the depthwise kernel over 3, `(n,)`.
        resolution: Octaves above 224 px, `(n,)`.
        plain: Whether stages 1 to 3 open with a downsample alone, 0 or 1, `(n, 3)`.
    """

    share: Floats
    log_macs: Floats
    off_curve: Floats
    se: Floats
    se_total: Floats
    se_irregular: Floats
    kernel: Floats
    resolution: Floats
    plain: Floats


def stage_weights(share: Floats) -> Floats:
    """Return the weights of the stages in `z`: their shares times the worth of their MACs."""
    weight = share * STAGE_WORTH
    return np.asarray(weight / weight.sum())


def compute_octaves(described: Described) -> Floats:
    """Return the compute `z` of networks in octaves above a usual network's, `(n,)`."""
    return np.asarray(described.log_macs @ stage_weights(described.share))


def columns(described: Described, exponent: float) -> Floats:
    """Return the features of networks, `(n, len(SHAPE_FEATURES))`."""
    octaves = compute_octaves(described)
    left = np.exp2(-exponent * octaves)  # what compute has not yet won, 1 at z = 0
    slope = exponent * np.log(2) * left  # of the compute term, per octave
    uneven = described.log_macs - octaves[:, None]
    n = len(CURVED)
    # Written feature by feature, so a feature lies in one piece.
    found = np.empty((len(SHAPE_FEATURES), len(octaves)))
    found[0] = 1.0
    np.negative(left, out=found[1])
    np.multiply(uneven.T, slope, out=found[2:6])
    found[2:6] *= described.share[:, None]
    # A mean of order p instead of 0 (logarithms) adds p ln(2) / 2 times the variance to z.
    np.multiply(slope * (np.log(2) / 2), uneven**2 @ stage_weights(described.share), out=found[6])
    found[7 : 7 + n] = described.off_curve.T
    np.square(found[7 : 7 + n], out=found[7 + n : 7 + 2 * n])
    se = found[7 + 2 * n : 14 + 2 * n]
    se[0] = described.se_total
    np.square(described.se_total, out=se[1])
    np.subtract(described.se.T, described.se_total, out=se[2:6])
    se[6] = described.se_irregular
    # SE adds less to networks that compute has already made good: half on M1.5 of what on M0.9.
    se *= left
    found[14 + 2 * n] = described.kernel
    found[15 + 2 * n] = described.resolution
    np.square(described.resolution, out=found[16 + 2 * n])
    found[17 + 2 * n :] = described.plain.T
    return found.T


def describe(shapes: Shapes) -> Described:
    """Describe networks of RepViT's space; a usual network has a thousand million MACs."""
    se = 2.0 * shapes.se_blocks / shapes.depth - 1.0
    return Described(
        share=STAGE_SHARE,
        log_macs=_stage_log_macs(shapes) - np.log2(1e9 * STAGE_SHARE),
        off_curve=_off_curve(shapes),
        se=se,
        se_total=2.0 * shapes.se_blocks.sum(axis=1) / shapes.depth.sum(axis=1) - 1.0,
        se_irregular=_se_irregular(shapes),
        kernel=np.log2(shapes.kernel / 3.0).mean(axis=1),
        resolution=np.log2(shapes.resolution / 224.0),
        plain=shapes.plain[:, 1:].astype(np.float64),
    )


def _stage_log_macs(shapes: Shapes) -> Floats:
    """Return log2 of the MACs of each stage with its opening at 224 px, `(n, 4)`.

    Only pointwise convolutions count; depthwise and SE are a few percent and no capacity.
    """
    width = shapes.width.astype(np.float64)
    hidden = np.rint(width * shapes.expansion)
    area = np.array(stage_sizes(224), dtype=np.float64) ** 2
    macs = shapes.depth * 2 * width * hidden * area
    before, after = width[:, :-1], width[:, 1:]
    # A plain stage is described as a deep one: what it loses (`plain_1` to `plain_3`) is the whole
    # difference, and was published against an opening of expansion 2.
    published = np.minimum(shapes.expansion, _PUBLISHED_EXPANSION)
    expansion = np.where(shapes.plain, published, shapes.expansion)[:, 1:]
    pre_block = 2 * before * np.rint(before * expansion) * area[:-1]
    opening = before * after * area[1:] + 2 * after * np.rint(after * expansion) * area[1:]
    macs[:, 1:] += pre_block + opening
    return np.asarray(np.log2(macs))


def _off_curve(shapes: Shapes) -> Floats:
    log_width = np.log2(shapes.width)
    growth = np.diff(log_width, axis=1) - 1.0
    depth = shapes.depth
    ratio = np.log2(depth[:, [0, 1, 3]] + 1.0) - np.log2(depth[:, [2]] + 2.0) - np.log2(3 / 16)
    aspect = np.log2(depth.sum(axis=1) + 3.0) - log_width[:, 0] - np.log2(_ASPECT)
    expansion = np.log2(shapes.expansion / 2.0)
    return np.concatenate([growth, ratio, aspect[:, None], expansion], axis=1)


def _se_irregular(shapes: Shapes) -> Floats:
    depth = shapes.depth.astype(np.uint64)
    one = np.uint64(1)
    every = (one << depth) - one
    # Every other block starting with the first, which is the highest of `depth` bits.
    alternate = np.where(depth % np.uint64(2), _ODD_BITS, _EVEN_BITS) & every
    regular = (shapes.se == 0) | (shapes.se == every) | (shapes.se == alternate)
    irregular = np.where(regular, 0, shapes.depth).sum(axis=1)
    return np.asarray(irregular / shapes.depth.sum(axis=1))
