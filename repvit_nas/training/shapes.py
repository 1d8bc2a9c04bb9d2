"""`shapes`: a drawn data set of 24 outlines, for trials where no images are at hand.

An outline is its radius as a function of the angle, so one lookup in a table draws any of them at
any size. What makes it hard is everything else: pose, stretch, colours and textures of outline and
background, smaller outlines of other classes that do not count, bars that hide parts, uneven light
and noise. An image depends on the seed and its index alone.
"""

import functools
import math
from typing import Final

import numpy as np
import numpy.typing as npt

from repvit_nas.shapes import Singles

Image = npt.NDArray[np.uint8]
Radii = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Angles in a full turn of an outline's table; at 512 px a step is less than two pixels of the rim.
_ANGLES: Final = 1024
_TURN: Final = 2 * math.pi
# The least distance of the colours of outline and background, each channel from 0 to 1.
_CONTRAST: Final = 0.5


def _polygon(angles: Radii, sides: int) -> Radii:
    step = _TURN / sides
    radii: Radii = np.cos(step / 2) / np.cos(np.mod(angles, step) - step / 2)
    return radii


def _star(angles: Radii, points: int, depth: float) -> Radii:
    """Return a star whose rim runs straight from its points in to `depth` and out again."""
    half = math.pi / points
    inward = np.abs(np.mod(angles + half, 2 * half) - half)  # 0 at a point, `half` in a notch
    # The line through (1, 0) and the notch at the angle `half`, in polar coordinates.
    rise, run = depth * math.sin(half), 1 - depth * math.cos(half)
    return rise / (rise * np.cos(inward) + run * np.sin(inward))


def _box(angles: Radii, width: float, height: float) -> Radii:
    cosine = np.maximum(np.abs(np.cos(angles)), 1e-6)
    sine = np.maximum(np.abs(np.sin(angles)), 1e-6)
    return np.minimum(width / cosine, height / sine)


def _flower(angles: Radii, petals: int) -> Radii:
    return 0.7 + 0.3 * np.cos(petals * angles)


def _gear(angles: Radii, teeth: int) -> Radii:
    return np.where(np.cos(teeth * angles) > 0, 1.0, 0.76)


def _half_disc(angles: Radii) -> Radii:
    """Return a half disc, seen from a point inside it."""
    sine, cosine, inset = np.sin(angles), np.cos(angles), 0.35
    rim = -inset * sine + np.sqrt(1 - (inset * cosine) ** 2)
    return np.where(sine < 0, np.minimum(rim, inset / np.maximum(-sine, 1e-6)), rim)


def _outlines() -> dict[str, Radii]:
    angles = np.linspace(0.0, _TURN, _ANGLES, endpoint=False)
    cosine: Radii = np.cos(angles)
    sine: Radii = np.sin(angles)
    return {
        "disc": np.ones_like(angles),
        "triangle": _polygon(angles, 3),
        "square": _polygon(angles, 4),
        "pentagon": _polygon(angles, 5),
        "hexagon": _polygon(angles, 6),
        "octagon": _polygon(angles, 8),
        "rectangle": _box(angles, 1.0, 0.4),
        "half_disc": _half_disc(angles),
        "heart": 2 - 2 * sine + sine * np.sqrt(np.abs(cosine)) / (sine + 1.4),
        "drop": 0.55 + 0.45 * np.maximum(cosine, 0) ** 6,
        "cross": np.maximum(_box(angles, 1.0, 0.33), _box(angles, 0.33, 1.0)),
        "bow_tie": np.maximum(np.abs(cosine), 0.18),
        "star_4": _star(angles, 4, 0.42),
        "star_5": _star(angles, 5, 0.45),
        "star_6": _star(angles, 6, 0.55),
        "star_8": _star(angles, 8, 0.6),
        "flower_3": _flower(angles, 3),
        "flower_4": _flower(angles, 4),
        "flower_5": _flower(angles, 5),
        "flower_7": _flower(angles, 7),
        "gear_8": _gear(angles, 8),
        "gear_12": _gear(angles, 12),
        "snail": 0.4 + 0.6 * angles / _TURN,
        "kite": np.where(cosine > 0, _box(angles, 1.0, 1.0) * 0.9, 0.45 + 0.1 * cosine),
    }


CLASSES: Final = tuple(_outlines())


@functools.cache
def _table() -> Singles:
    """Return the radius of every class at every angle, `(classes, angles)`, at most 1."""
    radii = np.stack(list(_outlines().values()))
    return np.ascontiguousarray(radii / radii.max(axis=1, keepdims=True), dtype=np.float32)


def label(index: int) -> int:
    """Return the class of the image at `index`: every class comes equally often."""
    return index % len(CLASSES)


def draw(index: int, size: int, seed: int = 0) -> Image:
    """Draw one image.

    Args:
        index: Which image; its class is :func:`label` of it.
        size: Side in pixels, at least 8.
        seed: Which data set.

    Returns:
        `(size, size, 3)`, 8 bits a channel.
    """
    return draw_with_mask(index, size, seed)[0]


def box(mask: Mask) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what a mask holds, the last two behind the last pixel.

    Raises:
        ValueError: It holds nothing.
    """
    down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(down):
        raise ValueError("a mask must hold a pixel to have a box; got none")
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def draw_with_mask(index: int, size: int, seed: int = 0) -> tuple[Image, Mask]:
    """Draw one image, and say where its outline is, seen or hidden by a bar.

    Args:
        index: Which image; its class is :func:`label` of it.
        size: Side in pixels, at least 8.
        seed: Which data set.

    Returns:
        The image, `(size, size, 3)`, 8 bits a channel, and where the outline is, `(size, size)`.
    """
    if size < 8:
        raise ValueError(f"an image must have at least 8 pixels a side; got {size}")
    random = np.random.default_rng((seed, index))
    colours = _colours(random)
    axis = _axis(size)
    canvas = _mixed(_wave(random, axis, axis), colours[0], colours[1])
    for place in range(int(random.integers(0, 2))):
        other = int(random.integers(len(CLASSES)))
        _paint(
            canvas,
            random,
            other,
            colours[4 + place],
            colours[4 + place],
            radii=(0.08, 0.16),
            off_centre=0.45,
        )
    mask = _paint(
        canvas, random, label(index), colours[2], colours[3], radii=(0.3, 0.46), off_centre=0.1
    )
    for place in range(int(random.integers(0, 2))):
        _bar(canvas, random, colours[6 + place])
    light = random.uniform(0.75, 1.2, 2).astype(np.float32)
    canvas *= np.linspace(light[0], light[1], size, dtype=np.float32)[:, None]
    noise = random.standard_normal((3, size, size), dtype=np.float32)
    noise *= np.float32(random.uniform(0.01, 0.07))
    canvas += noise
    np.clip(canvas, 0, 1, out=canvas)
    canvas *= 255
    return np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0)), mask


def _colours(random: np.random.Generator) -> Singles:
    """Return colours: two of the background, two of the outline, then those of other things."""
    colours = random.random((8, 3), dtype=np.float32)
    for _ in range(16):  # an outline in the colour of what is behind it cannot be seen by anybody
        if np.abs(colours[2] - colours[0]).max() > _CONTRAST:
            break
        colours[2] = random.random(3, dtype=np.float32)
    # Textures are weaker than the difference between outline and background.
    colours[1] = colours[0] + 0.3 * (colours[1] - colours[0])
    colours[3] = colours[2] + 0.3 * (colours[3] - colours[2])
    return colours


@functools.lru_cache(maxsize=8)
def _axis(size: int) -> Singles:
    """Return the centres of the pixels of one side, from 0 to 1."""
    return ((np.arange(size) + 0.5) / size).astype(np.float32)


def _wave(random: np.random.Generator, across: Singles, down: Singles) -> Singles:
    """Return stripes, checks or ripples over a window given by its axes, from 0 to 1."""
    frequency, angle, phase = random.uniform((4, 0, 0), (40, math.pi, _TURN))
    x = across * np.float32(frequency * math.cos(angle)) + np.float32(phase)
    y = down[:, None] * np.float32(frequency * math.sin(angle))
    kind = int(random.integers(3))
    if kind == 0:
        wave = np.sin(x + y)
    elif kind == 1:
        wave = np.sin(x) * np.sin(y + np.float32(phase))
    else:
        wave = np.sin(x + np.sin(y))
    scaled: Singles = np.float32(0.5) + np.float32(0.5) * wave
    return scaled


def _mixed(wave: Singles, first: Singles, second: Singles) -> Singles:
    """Return a texture between two colours, `(3, height, width)`."""
    return first[:, None, None] + wave * (second - first)[:, None, None]


def _paint(
    canvas: Singles,
    random: np.random.Generator,
    shape: int,
    first: Singles,
    second: Singles,
    *,
    radii: tuple[float, float],
    off_centre: float,
) -> Mask:
    """Draw an outline in a random pose into `canvas`, where it is; return where that is."""
    size = canvas.shape[-1]
    mask = np.zeros((size, size), dtype=np.bool_)
    radius, x, y, turn, stretch, skew = random.uniform(
        (radii[0], -off_centre, -off_centre, 0, 0.8, -0.2),
        (radii[1], off_centre, off_centre, 1, 1.25, 0.2),
    )
    reach = radius * 1.6
    left, right = _window(0.5 + x - reach, 0.5 + x + reach, size)
    top, bottom = _window(0.5 + y - reach, 0.5 + y + reach, size)
    if left >= right or top >= bottom:
        return mask
    axis = _axis(size)
    across = (axis[left:right] - np.float32(0.5 + x)) * np.float32(stretch / radius)
    down = (axis[top:bottom] - np.float32(0.5 + y)) * np.float32(1 / (stretch * radius))
    across = across + np.float32(skew) * down[:, None]
    distance = np.hypot(across, down[:, None])
    angle = np.arctan2(down[:, None], across)
    places = (angle * np.float32(_ANGLES / _TURN) + np.float32(turn * _ANGLES)).astype(np.int32)
    rim = _table()[shape][places & (_ANGLES - 1)]
    cover = np.clip((rim - distance) * np.float32(radius * size) + np.float32(0.5), 0, 1)
    inside = canvas[:, top:bottom, left:right]
    wave = _wave(random, axis[left:right], axis[top:bottom])
    inside += cover * (_mixed(wave, first, second) - inside)
    mask[top:bottom, left:right] = cover >= 0.5
    return mask


def _window(low: float, high: float, size: int) -> tuple[int, int]:
    return max(0, int(low * size)), min(size, math.ceil(high * size))


def _bar(canvas: Singles, random: np.random.Generator, colour: Singles) -> None:
    """Hide what is under a straight bar across the image."""
    size = canvas.shape[-1]
    angle, offset, width = random.uniform((0, -0.35, 0.02), (math.pi, 0.35, 0.07))
    axis = _axis(size) - np.float32(0.5)
    across = axis * np.float32(math.cos(angle)) - np.float32(offset)
    away = np.abs(across + (axis * np.float32(math.sin(angle)))[:, None])
    canvas[:, away < width] = colour[:, None]
