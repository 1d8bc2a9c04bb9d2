"""Masks of a network's maps against those of its teacher's, by a decoder of SAM."""

from collections.abc import Sequence
from typing import Final

import torch

from repvit_nas.checking.records import MaskAgreement
from repvit_nas.decoder import SamDecoder
from repvit_nas.training.matching import MapPair
from repvit_nas.training.pictures import HEIGHT, WIDTH, inside

# Points of a grid along each side of a picture.
GRID: Final = 4
_FOREGROUND: Final = 1
# Sides of a mask in parts of its map's.
_FINER: Final = 4


def mask_overlaps(
    decoder: SamDecoder, pair: MapPair, places: torch.Tensor, side: int
) -> list[float | None]:
    """Return how far masks of a network's maps and of its teacher's are the same, a picture at a time.

    The decoder is asked for one mask at each point of a grid over each picture.

    Args:
        decoder: SAM's.
        pair: The maps.
        places: Place, height and width of each picture, `(images, 3)`.
        side: Of the squares that heights and widths are in.

    Returns:
        Intersection over union of each pair of masks within its picture; None where both are empty.
    """
    counts = inside(places, _FINER * pair.found.shape[-1], side)
    shares: list[float | None] = []
    for own, theirs, place, within in zip(*pair, places, counts, strict=True):
        points = _grid(place)
        one, two = (masks_of(decoder, each.float(), points) & within for each in (own, theirs))
        shares += overlaps(one, two)
    return shares


def _grid(place: torch.Tensor) -> torch.Tensor:
    """Return the points of a picture, across and down in pixels of the square, `(points, 2)`."""
    steps = (torch.arange(GRID) + 0.5) / GRID
    down, across = torch.meshgrid(
        steps * float(place[HEIGHT]), steps * float(place[WIDTH]), indexing="ij"
    )
    return torch.stack([across, down], dim=-1).view(-1, 2)


def masks_of(decoder: SamDecoder, embedding: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the mask of each point.

    Args:
        decoder: SAM's.
        embedding: A map, `(channels, height, height)`.
        points: Across and down in pixels of the square, `(points, 2)`.

    Returns:
        `(points, 4 * height, 4 * height)`, whether an element is in the mask.
    """
    labels = torch.full((len(points), 1), _FOREGROUND)
    sparse, dense = decoder.prompts(points=(points[:, None], labels), boxes=None, masks=None)
    logits, _ = decoder.masks(
        image_embeddings=embedding[None],
        image_pe=decoder.prompts.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    found: torch.Tensor = logits[:, 0] > 0
    return found


def overlaps(one: torch.Tensor, two: torch.Tensor) -> list[float | None]:
    """Return intersection over union of pairs of masks, `(masks, height, width)`; None where both are empty."""
    common = (one & two).flatten(1).sum(1).tolist()
    either = (one | two).flatten(1).sum(1).tolist()
    return [inner / outer if outer else None for inner, outer in zip(common, either, strict=True)]


def mask_agreement(checkpoint: str, shares: Sequence[float | None]) -> MaskAgreement:
    """Return how alike masks are by the overlaps of all.

    Args:
        checkpoint: What the decoder's file is called.
        shares: The overlaps, `GRID` times `GRID` of each picture.
    """
    compared = [share for share in shares if share is not None]
    return MaskAgreement(
        decoder=checkpoint,
        points=GRID * GRID,
        pictures=len(shares) // (GRID * GRID),
        masks=len(compared),
        iou=sum(compared) / max(1, len(compared)),
    )
