"""Are `shapes` drawn faster than a network consumes them? One core each, in turns."""

from interleaved import medians  # isort: skip  # limits threads before torch is imported

import itertools

import torch
from torch.nn.functional import cross_entropy

from repvit_nas import load
from repvit_nas.training import shapes

IMAGES = 16
SIDES = (32, 64, 128)


def main() -> None:
    """Print images in a second for each side."""
    torch.set_num_threads(1)
    model = load("repvit_m0_9", num_classes=len(shapes.CLASSES), distillation=False).train()
    target = torch.arange(IMAGES) % len(shapes.CLASSES)
    places = itertools.count()
    for side in SIDES:
        images = torch.zeros(IMAGES, 3, side, side)

        def draw(side: int = side) -> None:
            for _ in range(IMAGES):
                shapes.draw(next(places), side)

        def consume(images: torch.Tensor = images) -> None:
            cross_entropy(model(images), target).backward()  # type: ignore[no-untyped-call]

        seconds = medians({"drawn": draw, "trained on": consume}, rounds=5)
        drawn, trained = (IMAGES / seconds[name] for name in ("drawn", "trained on"))
        print(
            f"{side:4d} px: {drawn:7.0f} images/s drawn, {trained:6.1f} trained on by M0.9 "
            f"({drawn / trained:.0f} x)"
        )


if __name__ == "__main__":
    main()
