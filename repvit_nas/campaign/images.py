"""The images of a campaign: which they are, and whether they can tell anything."""

from pathlib import Path
from typing import Any, Final

import msgspec

from repvit_nas import files
from repvit_nas.accuracy.comparison import highest_tau
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import Opened
from repvit_nas.training.spec import DataSpec

# Files of more bytes together are told apart by their names and sizes alone.
_READ: Final = 1_000_000_000
# What networks of one latency band differ by, and what their accuracy is about, before any is known.
SPREAD, ABOUT = 0.5, 70.0
# Below this tau, a ranking is hardly better than none.
_LEAST_TAU: Final = 0.2


def portable(spec: DataSpec) -> DataSpec:
    """Return which images those are, without what each machine calls its own way."""
    return msgspec.structs.replace(spec, name="", root="", download=False)


def data_digest(spec: DataSpec, opened: Opened) -> str:
    """Return a digest of the images that a data set holds now.

    Of a folder these are names and contents of its images; of more than a thousand million bytes
    names and sizes; of a data set that is drawn, in the box or known to timm by its name, what names it
    and how many images it has.
    """
    parts: list[bytes | Path] = []
    for split in (opened.train, opened.val):
        known: Any = getattr(split, "base", split)
        # Folders are read by us; timm's own names by its reader.
        samples = getattr(known, "samples", None)
        if samples is None:
            samples = getattr(getattr(known, "reader", None), "samples", None)
        if samples is None or not Path(spec.name).is_dir():
            named = msgspec.structs.replace(spec, skip_bad_images=False, download=False, root="")
            parts.append(msgspec.json.encode([named, len(split)]))
            continue
        root = Path(spec.name)
        paths = sorted(Path(str(path)) for path, _ in samples)
        sizes = [path.stat().st_size for path in paths]
        listed = [
            [str(path.relative_to(root)), size] for path, size in zip(paths, sizes, strict=True)
        ]
        parts.append(msgspec.json.encode(listed))
        if sum(sizes) <= _READ:
            parts += paths
    return files.digest(*parts)


def check_images(opened: Opened, *, anyway: bool) -> str:
    """Say what the validation images can tell at most.

    Raises:
        RepvitNasError: They tell next to nothing, and `anyway` is off.
    """
    images = len(opened.val)
    tau = highest_tau(images, ABOUT, SPREAD)
    said = (
        f"{images:,} validation images: of networks that differ by {SPREAD:g} points, their top-1 "
        f"alone could rank to tau {tau:.2f} at most"
    )
    if tau < _LEAST_TAU and not anyway:
        raise RepvitNasError(
            f"{said}, which is hardly better than a guess; validate on more images, or go on with "
            "--anyway"
        )
    return said
