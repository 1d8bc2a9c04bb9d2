"""The images that forms are compared on: the run's to validate on, or drawn ones where none are here."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch

from repvit_nas.errors import RepvitNasError
from repvit_nas.training import shapes
from repvit_nas.training.boxed import DrawnShapes
from repvit_nas.training.data import Images, is_folder, moved, open_validation
from repvit_nas.training.loading import World, val_batches
from repvit_nas.training.recipe import Recipe
from repvit_nas.training.records import TrainFile

# Drawn and random images, where there are no others.
DRAWN: Final = 32
BATCH: Final = 64
# Of networks that hand back maps: each has thousands of pixels.
MAPS: Final = 2


class ComparedOn(NamedTuple):
    """Images to compare on.

    Attributes:
        images: The images.
        words: What they are.
        missing: Why these are not the images to validate on; empty if they are.
    """

    images: Images
    words: str
    missing: str = ""


class DrawnImages(DrawnShapes):
    """Images that are of no data set: outlines in the one half, noise in the other."""

    def drawn(self, place: int) -> tuple[shapes.Image, int]:
        """Draw an image; it is of no class, which 0 stands for."""
        if not place % 2:
            return super().drawn(place)[0], 0
        shape = (self.size, self.size, 3)
        return np.random.default_rng(place).integers(0, 256, shape, dtype=np.uint8), 0


def drawn(resolution: int, missing: str, count: int = DRAWN) -> ComparedOn:
    """Return images that need no data.

    Args:
        resolution: Their side in pixels.
        missing: Why there are no others.
        count: How many.
    """
    return ComparedOn(DrawnImages(count, resolution), f"{count} random and drawn images", missing)


def run_images(record: TrainFile, data: str = "") -> ComparedOn:
    """Return a run's images to validate on; drawn ones where these are not here.

    What the run remembers is a hint: it may have been trained on another machine.

    Args:
        record: The run.
        data: Where its images are now; empty for where they were.

    Raises:
        RepvitNasError: `data` is given, and does not hold images of the run's classes.
    """
    asked = record.asked
    if asked.matching is not None:
        return drawn(
            asked.architecture.resolution, "it learned a map, of pictures without classes", MAPS
        )
    side = asked.architecture.resolution
    spec = moved(asked.data, data) if data else asked.data
    try:
        images = open_validation(spec, record.classes, side)
    except RepvitNasError as error:
        if data:
            raise
        return drawn(side, str(error).partition(";")[0])
    where = f" in {spec.name}" if is_folder(spec.name) else f" of {spec.name}"
    return ComparedOn(images, f"validation images{where}")


def batches(
    images: Images, recipe: Recipe, resolution: int, limit: int | None = None
) -> Iterator[torch.Tensor]:
    """Return the first images in parts of `BATCH`, as the network takes them."""
    for batch, _ in labelled(images, recipe, resolution, limit):
        yield batch


def labelled(
    images: Images, recipe: Recipe, resolution: int, limit: int | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Return the first images in parts of `BATCH`, as the network takes them, with their classes."""
    loader = val_batches(
        images,
        recipe,
        resolution,
        world=World(),
        device=torch.device("cpu"),
        workers=0,
        batch=BATCH,
    )
    count = 0
    for batch, target in loader:
        left = len(batch) if limit is None else limit - count
        yield batch[:left], target[:left]
        count += len(batch[:left])
        if limit is not None and count >= limit:
            return
