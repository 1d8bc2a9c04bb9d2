"""Which images: what a run remembers of them. Reading a record needs no reader of images."""

from typing import Final

import msgspec

from repvit_nas.quantities import Seed, Several

TRAIN_SPLIT: Final = "train"
VAL_SPLIT: Final = "validation"


class DataSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which images, as a run remembers it.

    Attributes:
        name: `digits`, `shapes`, a folder of images, or a name with a prefix that timm knows.
        root: Where timm finds (or downloads) a data set that it knows by name.
        train_split: The split or folder to train on; `train` also stands for `training`.
        val_split: The split or folder to validate on; `validation` also stands for a folder of
            another usual name.
        num_classes: The number of classes, where a data set does not say so itself.
        train_images: How many images of `shapes` to train on.
        val_images: How many images of `shapes` to validate on.
        seed: Which `shapes`.
        skip_bad_images: Leave out what cannot be read, instead of refusing the folder.
        download: Let timm download the data set.
    """

    name: str
    root: str = ""
    train_split: str = TRAIN_SPLIT
    val_split: str = VAL_SPLIT
    num_classes: Several | None = None
    train_images: Several | None = None
    val_images: Several | None = None
    seed: Seed = 0
    skip_bad_images: bool = False
    download: bool = False
