"""Folders of images: a folder for each class, or none."""

import numpy as np
from PIL import Image


def folder(root, classes=("cat", "dog"), images=3, splits=("train", "val")):
    for split in splits:
        for number, name in enumerate(classes):
            place = root / split / name
            place.mkdir(parents=True)
            for index in range(images):
                pixels = np.full((12, 10, 3), 40 * number + index, dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")
    return root


def write_pictures(folder, count=12, size=(40, 24)):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder
