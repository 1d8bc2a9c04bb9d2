"""The images in the box: drawn shapes, and handwritten digits."""

import functools
from typing import Any, Final

import numpy as np
from PIL import Image

from repvit_nas.training import shapes

_DIGITS_VAL: Final = 360


class DrawnShapes:
    """Images of `shapes`, drawn when they are asked for.

    Args:
        count: How many.
        size: Side in pixels.
        seed: Which data set.
        first: Index of the first image in its stream.
    """

    def __init__(self, count: int, size: int, seed: int = 0, first: int = 0) -> None:
        self.count = count
        self.size = size
        self.seed = seed
        self.first = first
        self.transform: Any = None

    def __len__(self) -> int:
        """Count the images."""
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Draw an image; returns it and its class."""
        if not 0 <= index < self.count:
            raise IndexError(f"there are {self.count} images; got {index}")
        pixels, label = self.drawn(self.first + index)
        return _transformed(self.transform, Image.fromarray(pixels)), label

    def drawn(self, place: int) -> tuple[shapes.Image, int]:
        """Draw what is at a place of the stream; returns it and its class."""
        return shapes.draw(place, self.size, self.seed), shapes.label(place)


class Digits:
    """Scikit-learn's handwritten digits, 8x8 pixels each, as images.

    Args:
        train: The images to train on, or those to validate on: a fixed fifth of them.
    """

    def __init__(self, *, train: bool) -> None:
        images, labels = _digits()
        # A fixed shuffle: the data set is in the order of its writers.
        order = np.random.default_rng(0).permutation(len(labels))
        kept = order[_DIGITS_VAL:] if train else order[:_DIGITS_VAL]
        self.images = images[kept]
        self.labels = labels[kept]
        self.transform: Any = None

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return an image and its class."""
        image = Image.fromarray(self.images[index]).convert("RGB")
        return _transformed(self.transform, image), int(self.labels[index])


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return (loaded.images * (255 / 16)).round().astype(np.uint8), loaded.target


def _transformed(transform: Any, image: Image.Image) -> Any:
    return image if transform is None else transform(image)
