"""A network that trains in seconds."""

from repvit_nas.architecture import Architecture, Stage


def small(name="small", widths=(16, 24, 32, 48), depths=(1, 1, 2, 1), resolution=32):
    return Architecture(
        name=name,
        resolution=resolution,
        num_classes=10,
        stages=tuple(
            Stage(width=width, depth=depth, se=("10" * depth)[:depth], expansion=2.0)
            for width, depth in zip(widths, depths, strict=True)
        ),
    )
