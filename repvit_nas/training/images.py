"""One image file, as a person sees it: whatever Pillow reads becomes upright RGB of eight bits."""

import contextlib
import io
import struct
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps

# What Pillow raises for a file that it cannot decode.
_ANY: Final = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, OverflowError),
    *(struct.error, Image.DecompressionBombError, ImageCms.PyCMSError),
)
# Formats that Pillow knows by their first bytes, but whose pixels it does not read by itself.
_NO_PIXELS: Final = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
# What white is in numbers of more than eight bits, where the file does not say: the smallest that
# holds all of an image's.
_WHITE_INTEGER: Final = (255, 65_535, 2**31 - 1)
_WHITE_FLOAT: Final = (1.0, 255.0, 65_535.0)

ImageVerdict = Literal["image", "broken", "other"]


class UndecodableError(OSError):
    """An image cannot be decoded, or its numbers have no white."""


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an image as eight-bit RGB, turned as its camera was held.

    What is transparent becomes white. Grey of 16 bits keeps its range; integers and floats of 32
    bits are taken as reaching to 1 (floats), 255, 65,535 or 2^31 - 1, the first that holds them. Of
    several frames the first one counts. An image that is upright RGB is returned as it is.

    Args:
        image: In any of Pillow's modes.

    Raises:
        UndecodableError: It is damaged, or its numbers have no white: negative, too large, or none.
    """
    try:
        image.load()
        return _rgb(_upright(image))
    except _ANY as error:
        raise UndecodableError(str(error) or type(error).__name__) from error


def _upright(image: Image.Image) -> Image.Image:
    # A damaged tag turns nothing: the pixels are good, and every viewer shows them.
    with contextlib.suppress(*_ANY):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _eight_bits(image).convert("RGB")
    if mode in ("RGBa", "La"):  # colours times alpha
        image = image.convert("RGBA" if mode == "RGBa" else "LA")
    if image.has_transparency_data:
        above = image.convert("RGBA")
        white = Image.new("RGBA", above.size, "white")
        return Image.alpha_composite(white, above).convert("RGB")
    if mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
        if turned is None:
            raise ValueError("Lab colours cannot be converted")
        return turned
    return image if mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or image.format == "PPM":
        white = 65_535.0
    else:
        known = _WHITE_FLOAT if image.mode == "F" else _WHITE_INTEGER
        white = next((float(each) for each in known if high <= each), np.nan)
    if not (low >= 0 and high <= white):  # a nan lands here too
        raise ValueError(
            f"an image of mode {image.mode} must lie within 0 and 65,535; got {low:g} to {high:g}"
        )
    return Image.fromarray(np.round(values * (255 / white)).astype(np.uint8))


def read_image(path: Path) -> Image.Image:
    """Read an image file; see :func:`upright_rgb`.

    Raises:
        UndecodableError: It is no image, or cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            return upright_rgb(image)
    except _ANY as error:
        raise UndecodableError(str(error) or type(error).__name__) from error


def judge(path: Path, *, whole: bool) -> ImageVerdict:
    """Tell by its content whether a file is an image, a broken one, or something else.

    Args:
        path: The file.
        whole: Decode it; otherwise its beginning counts, for formats that Pillow always decodes.
    """
    try:
        with Image.open(path) as image:
            if isinstance(image, ImageFile.StubImageFile) or image.format in _NO_PIXELS:
                return "other"
        if whole:
            read_image(path)
    except _ANY:
        return "broken" if _called_an_image(path) else "other"
    return "image"


def _called_an_image(path: Path) -> bool:
    """Tell whether a file's name ends as images that Pillow reads do."""
    known: Any = Image.registered_extensions().get(path.suffix.lower())
    return known == "MPO" or (known in Image.OPEN and known not in _NO_PIXELS)
