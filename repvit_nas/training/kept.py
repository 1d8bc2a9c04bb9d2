"""Small images decoded once, for many trainings on the same images in one process."""

from typing import TYPE_CHECKING, Any, Final

from torch.utils.data import IterableDataset

from repvit_nas.training.loading import read_sample

if TYPE_CHECKING:
    from repvit_nas.training.data import Images, Opened

# Pixels of all images together that are kept; four bytes each in memory.
MOST_PIXELS: Final = 250_000_000


class Kept:
    """Images that are decoded when they are first asked for, and kept.

    Args:
        base: The images.
    """

    def __init__(self, base: "Images") -> None:
        self.base = base
        self.base.transform = None
        self.transform: Any = None
        self._samples: list[tuple[Any, int] | None] = [None] * len(base)
        self._pixels = 0

    def __len__(self) -> int:
        """Count the images."""
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return an image, prepared as `transform` says, and its class."""
        sample = self._samples[index]
        if sample is None:
            sample = read_sample(self.base, index)
            image = sample[0]
            pixels = image.width * image.height
            if self._pixels + pixels <= MOST_PIXELS:
                self._pixels += pixels
                self._samples[index] = sample
        image, target = sample
        return (image if self.transform is None else self.transform(image)), target

    def filename(self, index: int, *, absolute: bool = False) -> str:
        """Return where an image is, for whoever cannot read it."""
        named = getattr(self.base, "filename", None)
        return str(named(index, absolute=absolute)) if named else f"image {index}"


def kept(opened: "Opened") -> "Opened":
    """Return the images so that each is decoded once, as far as the memory goes.

    Images that can only be read in their own order are left as they are.
    """
    return opened._replace(train=_kept(opened.train), val=_kept(opened.val))


def _kept(images: "Images") -> "Images":
    return images if isinstance(images, IterableDataset) else Kept(images)
