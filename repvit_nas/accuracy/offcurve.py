"""How well the estimator ranks networks off the curve: networks of another space, trained by others.

Accel-NASBench holds trainings on ImageNet-1k of MnasNet's space: seven blocks at strides 2, 4, 8, 16,
16, 32 and 32 of fixed widths, each with its depth (1 to 3, the sixth to 4), expansion (1, 4 or 6),
kernel (3 or 5) and SE (in all or none of its layers). :func:`describe_mnasnet` maps them to what the
estimators see; the regression, its features and its priors are those of `family`, fitted to the
published RepViT results, as for any other data set.

The question asked is a user's: of networks that cost about the same, some are trained; how well are
the others ranked?
"""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas import files
from repvit_nas.accuracy.family import Posterior
from repvit_nas.accuracy.features import Described, columns
from repvit_nas.accuracy.priors import CURVED, PLAIN_STAGES, elsewhere
from repvit_nas.accuracy.regression import average, line, predict
from repvit_nas.errors import FileError
from repvit_nas.shapes import Floats

Places = npt.NDArray[np.intp]

FAMILY: Final = "accel-nasbench"
# A band holds networks whose MACs are within 5 % of its middle; 24 of them are shown.
BAND: Final = 0.05
SHOWN: Final = 24
# Fewer others than this rank too coarsely to say anything.
LEAST: Final = 24
# A training scatters by 0.31 points after 16 epochs; what the features leave out adds to that.
NOISES: Final = 0.2 * 2.0 ** np.arange(0, 4, 0.5)
# Half a 90 % interval, in deviations.
_HALF_90: Final = 1.6449

# Usual networks of the space: means over its networks, whose choices the benchmark draws uniformly; no
# accuracy enters. Mean shares of the stages at strides 4, 8, 16 and 32, and their million MACs.
_SHARE: Final = np.array([0.19, 0.12, 0.26, 0.43])
_USUAL_MACS: Final = 180.0
_EXPANSION: Final = float(np.log2([1, 4, 6]).mean())
_LOG_DEPTH: Final = np.array([0.85, 0.85, 1.93, 2.06])
_LOG_BLOCKS: Final = 3.6
# The blocks of each stage; the block at stride 2 has no counterpart in RepViT's stages.
_BLOCKS: Final = (slice(1, 2), slice(2, 3), slice(3, 5), slice(5, 7))


class Trained(NamedTuple):
    """`n` trained networks of the space.

    Attributes:
        depth: Layers of the seven blocks, `(n, 7)`.
        expansion: Expansion of the blocks, `(n, 7)`.
        se: Whether the blocks have SE, `(n, 7)`.
        kernel: Depthwise kernel of the blocks, `(n, 7)`.
        stage_macs: Million MACs at strides 4, 8, 16 and 32, `(n, 4)`.
        macs: Million MACs of the whole network, `(n,)`.
        params: Million parameters, `(n,)`.
        top1: Percent, `(n,)`.
    """

    depth: Floats
    expansion: Floats
    se: Floats
    kernel: Floats
    stage_macs: Floats
    macs: Floats
    params: Floats
    top1: Floats

    def of(self, rows: Places) -> "Trained":
        """Return the networks `rows`."""
        return Trained._make(field[rows] for field in self)


class Ranked(NamedTuple):
    """How the others of one band were predicted.

    Attributes:
        macs: Middle of the band in millions.
        others: Networks predicted.
        tau: Kendall's tau of the estimates with the trainings.
        tau_macs: That of the stages' log MACs, each weighted by its mean share.
        tau_params: That of the parameters.
        tau_before: That of the estimates with nothing shown.
        coverage: Share of the trainings inside their 90 % interval.
        error: Root mean square error in points.
    """

    macs: float
    others: int
    tau: float
    tau_macs: float
    tau_params: float
    tau_before: float
    coverage: float
    error: float


def read_trained(path: Path) -> Trained:
    """Read the networks of Accel-NASBench among the rows of `path`, a `.csv` or `.csv.gz`.

    Raises:
        FileError: The file is no such table, or holds no such row.
    """
    content = files.read_bytes(path)
    try:
        if path.suffix == ".gz":
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(files.MAX_BYTES)
        table = csv.DictReader(io.StringIO(content.decode()), restval="")
        rows = [row for row in table if row["family"] == FAMILY]
        if not rows:
            raise FileError(f"{path}: holds no row of family {FAMILY}")
        found = Trained(
            depth=_numbers(rows, "depths", 7),
            expansion=_numbers(rows, "expansion", 7),
            se=_numbers(rows, "se", 7),
            kernel=_numbers(rows, "kernel", 7),
            stage_macs=_numbers(rows, "stage_macs_m", 4),
            macs=_numbers(rows, "macs_m", 1)[:, 0],
            params=_numbers(rows, "params_m", 1)[:, 0],
            top1=_numbers(rows, "top1", 1)[:, 0],
        )
    except (KeyError, ValueError, OSError, EOFError, csv.Error, zlib.error) as error:
        raise FileError(f"{path}: is no table of trainings: {error}") from error
    if not all(np.isfinite(field).all() for field in found):
        raise FileError(f"{path}: holds what is no finite number")
    if not all((field > 0).all() for field in found._replace(se=found.top1)):
        raise FileError(f"{path}: holds a number that is not above 0")
    return found


def _numbers(rows: Sequence[dict[str, str]], name: str, count: int) -> Floats:
    cells = [row[name].split("-") for row in rows]
    for number, cell in enumerate(cells, start=1):
        if len(cell) != count:
            raise ValueError(f"row {number} of {FAMILY}: {name} has {len(cell)} of {count} numbers")
    return np.array(cells, dtype=np.float64)


def describe_mnasnet(trained: Trained) -> Described:
    """Describe networks of MnasNet's space as the estimators see them.

    Widths never change, so `growth_*` is 0; expansion and SE of a stage are means over its layers,
    its kernel one over its blocks. The block at stride 2 is left out, as RepViT's stem is. SE in
    all or none of the layers of a block is no irregular placement.
    """
    depth = _over_stages(trained.depth, np.ones_like(trained.depth))
    log_depth = np.log2(depth) - _LOG_DEPTH
    expansion = _over_stages(np.log2(trained.expansion), trained.depth) / depth - _EXPANSION
    se = 2.0 * _over_stages(trained.se, trained.depth) / depth - 1.0
    off_curve = {
        "depth_0": log_depth[:, 0] - log_depth[:, 2],
        "depth_1": log_depth[:, 1] - log_depth[:, 2],
        "depth_3": log_depth[:, 3] - log_depth[:, 2],
        "aspect": np.log2(depth.sum(axis=1)) - _LOG_BLOCKS,
        **{f"expansion_{stage}": expansion[:, stage] for stage in range(4)},
    }
    none = np.zeros(len(depth))
    return Described(
        share=_SHARE,
        log_macs=np.log2(trained.stage_macs / (_SHARE * _USUAL_MACS)),
        off_curve=np.stack([off_curve.get(name, none) for name in CURVED], axis=1),
        se=se,
        se_total=(se * depth).sum(axis=1) / depth.sum(axis=1),
        se_irregular=none,
        kernel=np.log2(trained.kernel[:, 1:] / 3.0).mean(axis=1),
        resolution=none,
        plain=np.zeros((len(depth), len(PLAIN_STAGES))),  # each block opens with a layer
    )


def _over_stages(values: Floats, weight: Floats) -> Floats:
    """Return the weighted sums of the blocks' values over each stage, `(n, 4)`."""
    return np.stack([(values * weight)[:, blocks].sum(axis=1) for blocks in _BLOCKS], axis=1)


def rank_bands(trained: Trained, known: Posterior, draws: int, seed: int = 0) -> list[Ranked]:
    """Show 24 networks of a band of equal MACs, predict the others; `draws` times.

    Bands are drawn around networks drawn at random, so where networks are many they are many.

    Raises:
        FileError: Too few networks have as many MACs as any other.
    """
    rng = np.random.default_rng(seed)
    bands = [_band(trained, middle) for middle in trained.macs]
    middles = [number for number, band in enumerate(bands) if len(band) >= SHOWN + LEAST]
    if not middles:
        largest = max(len(band) for band in bands)
        raise FileError(
            f"{len(trained.macs)} networks: at most {largest} have the same MACs within "
            f"{BAND:.0%}, and {SHOWN + LEAST} are needed"
        )
    found = []
    for middle in rng.choice(middles, draws):
        band = bands[middle]
        shown = rng.choice(band, SHOWN, replace=False)
        others = np.setdiff1d(band, shown)
        found.append(_rank(trained.of(shown), trained.of(others), known, trained.macs[middle]))
    return found


def _band(trained: Trained, macs: float) -> Places:
    return np.flatnonzero(np.abs(trained.macs / macs - 1.0) <= BAND)


def _rank(shown: Trained, others: Trained, known: Posterior, macs: float) -> Ranked:
    from scipy.stats import kendalltau

    def features(networks: Trained) -> Floats:
        return columns(describe_mnasnet(networks), known.exponent)

    def tau(estimate: Floats) -> float:
        return float(kendalltau(estimate, others.top1).statistic)

    prior = elsewhere(known.shape)
    noises = np.repeat(NOISES[:, None] ** 2, len(shown.top1), axis=1)
    effects, weight = average(prior, features(shown), shown.top1, noises)
    rows = features(others)
    mean, variance = predict(line(effects), rows)
    error = others.top1 - mean
    half = _HALF_90 * np.sqrt(variance + weight @ NOISES**2)
    return Ranked(
        macs=float(macs),
        others=len(error),
        tau=tau(mean),
        tau_macs=tau(np.log2(others.stage_macs) @ _SHARE),
        tau_params=tau(others.params),
        tau_before=tau(rows @ prior.mean),
        coverage=float(np.mean(np.abs(error) <= half)),
        error=float(np.sqrt(np.mean(error**2))),
    )
