"""What was found of a data set, as it is printed before a training and kept with it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from repvit_nas.quantities import Count
from repvit_nas.words import number_of, printable

_NAMED: Final = 3
_CLASSES_SHOWN: Final = 20


class PassedOver(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files that were left out for one reason.

    Attributes:
        reason: Why.
        count: How many.
        named: The first of them, as paths below the folder.
    """

    reason: str
    count: Count
    named: tuple[str, ...]


class FoundImages(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was found to train or to validate on.

    Attributes:
        use: `train` or `val`.
        source: The folder, or the name of the data set.
        images: How many images.
        classes: Images of each class; empty where that cannot be told without reading all of them.
        left_out: Files that are not used.
    """

    use: str
    source: str
    images: Count
    classes: dict[str, Count] = {}
    left_out: tuple[PassedOver, ...] = ()


def left_out(files: Iterable[tuple[Path, str]], folder: Path) -> tuple[PassedOver, ...]:
    """Count files by the reason for which they are left out."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for path, reason in files:
        reasons[reason].append(printable(str(path.relative_to(folder))))
    return tuple(
        PassedOver(reason=reason, count=len(named), named=tuple(sorted(named)[:_NAMED]))
        for reason, named in sorted(reasons.items())
    )


def found_text(found: FoundImages) -> list[str]:
    """Return lines that say what was found: classes, images of each, what was left out and why."""
    count = number_of(found.images, "image", grouped=True)
    lines = [f"{found.use}: {count} in {found.source}"]
    if found.classes:
        classes = number_of(len(found.classes), "class")
        lines = [f"{found.use}: {classes}, {count} in {found.source}: {_counts(found.classes)}"]
    for each in found.left_out:
        named = ", ".join(each.named) + (", ..." if each.count > len(each.named) else "")
        lines.append(f"{found.use}: left out {each.count:,} ({each.reason}): {named}")
    return lines


def _counts(classes: dict[str, int]) -> str:
    if len(classes) <= _CLASSES_SHOWN:
        return ", ".join(f"{printable(name)} {count:,}" for name, count in classes.items())
    order: Sequence[str] = sorted(classes, key=lambda name: classes[name])
    few, many = order[0], order[-1]
    least, most = (f"{classes[name]:,} ({printable(name)})" for name in (few, many))
    return f"from {least} to {most} each"
