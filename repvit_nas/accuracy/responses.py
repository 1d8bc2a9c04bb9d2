"""What observations say in one unit: points of top-1, with the errors that they share.

Cross-entropy ranks networks better than the percent right, and networks that are compared on the
same images share most of what those images leave open. So where each training kept the loss of
each image, the response is the mean loss, in points by the line through the trainings' top-1, and its
errors are the covariance of the losses over the images. Elsewhere it is top-1, each with its own error.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from repvit_nas import files
from repvit_nas.accuracy.observations import AccuracyObservation
from repvit_nas.errors import FileError
from repvit_nas.shapes import Floats

# Fewer different trainings do not tell how many points a loss is.
_FEWEST: Final = 5
# Of a top-1 of which nobody knows on how many images it was taken: about a thousand.
UNKNOWN_SD: Final = 1.0


class Responses(NamedTuple):
    """Responses of `n` observations in points of top-1.

    Attributes:
        points: `(n,)`.
        covariance: What the validation images leave open, `(n, n)`.
    """

    points: Floats
    covariance: Floats


def responses(observations: Sequence[AccuracyObservation], folder: Path | None) -> Responses:
    """Return what observations say.

    Args:
        observations: Of one data set and recipe.
        folder: Where the files of their losses are.

    Raises:
        FileError: The losses of an image file cannot be read.
    """
    top1 = np.array([observation.top1 for observation in observations])
    losses = np.array([np.nan if each.loss is None else each.loss for each in observations])
    slope = _points_of_loss(top1, losses)
    images = _image_losses(observations, folder)
    if slope is None or images is None:
        sds = [UNKNOWN_SD if each.top1_sd is None else each.top1_sd for each in observations]
        return Responses(top1, np.diag(np.square(sds)))
    points = top1.mean() + slope * (losses - losses.mean())
    shared = np.cov(images).reshape(len(top1), len(top1)) / images.shape[1]
    return Responses(points, slope**2 * shared)


def _points_of_loss(top1: Floats, losses: Floats) -> float | None:
    """Return how many points of top-1 a unit of loss is; None where it cannot be told."""
    if len(np.unique(losses)) < _FEWEST or not np.all(np.isfinite(losses)):
        return None
    away = losses - losses.mean()
    slope = float(away @ (top1 - top1.mean()) / (away @ away))
    return slope if slope < 0 else None


def _image_losses(
    observations: Sequence[AccuracyObservation], folder: Path | None
) -> Floats | None:
    """Return the loss of each image by each network, `(n, images)`, where all of them are there."""
    if folder is None or not all(each.losses for each in observations):
        return None
    rows = [read_losses(folder / each.losses) for each in observations]
    if len({len(row) for row in rows}) > 1:
        return None
    return np.array(rows)


def read_losses(path: Path) -> Floats:
    """Read the losses of a training's validation images, `(images,)`.

    Raises:
        FileError: There is no such array.
    """
    return losses_in(files.read_bytes(path), path)


def losses_in(content: bytes, origin: Path | str) -> Floats:
    """Return the losses in the content of such a file, `(images,)`.

    Args:
        content: What the file holds.
        origin: What to call it in a message.

    Raises:
        FileError: It is no such array.
    """
    try:
        # Within the try: what is no array of numbers fails here.
        losses = np.asarray(np.load(io.BytesIO(content), allow_pickle=False), dtype=np.float64)
    except Exception as error:  # numpy raises many kinds for a damaged header
        raise FileError(f"{origin}: holds no losses of images: {error}") from error
    if losses.ndim != 1 or not len(losses) or not np.all(np.isfinite(losses)):
        raise FileError(f"{origin}: must hold a finite loss for each image; got {losses.shape}")
    return losses
