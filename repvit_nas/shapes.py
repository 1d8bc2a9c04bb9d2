"""Many architectures as arrays: what estimators and prices work on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from repvit_nas.architecture import DEEP, OUTPUTS, PLAIN, Architecture, Stage

Floats = npt.NDArray[np.float64]
# What networks take and give, and what pictures are drawn in.
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


class Shapes(NamedTuple):
    """`n` networks of four stages; nothing of an architecture but its name is lost.

    Attributes:
        width: Channels, `(n, 4)`.
        depth: Blocks after the downsample, `(n, 4)`.
        se: Bit string of SE as an integer, first block in the highest bit, `(n, 4)` unsigned.
        expansion: FFN expansion, `(n, 4)`.
        kernel: Depthwise kernel, `(n, 4)`.
        plain: Whether what opens the stage is a downsample alone, `(n, 4)`.
        resolution: Input side in pixels, `(n,)`.
        num_classes: Classifier outputs, `(n,)`.
        output: What they hand back, as its place in `OUTPUTS`, `(n,)`.
    """

    width: Integers
    depth: Integers
    se: npt.NDArray[np.uint64]
    expansion: Floats
    kernel: Integers
    plain: npt.NDArray[np.bool_]
    resolution: Integers
    num_classes: Integers
    output: Integers

    @property
    def se_blocks(self) -> Integers:
        """Blocks with SE per stage, `(n, 4)`."""
        return np.bitwise_count(self.se).astype(np.int64)

    def architecture(self, row: int, name: str = "") -> Architecture:
        """Return network `row` as a record."""
        stages = [
            Stage(
                width=int(self.width[row, i]),
                depth=int(self.depth[row, i]),
                se=f"{int(self.se[row, i]):0{int(self.depth[row, i])}b}",
                expansion=float(self.expansion[row, i]),
                kernel=int(self.kernel[row, i]),
                downsample=PLAIN if self.plain[row, i] else DEEP,
            )
            for i in range(4)
        ]
        return Architecture(
            name=name,
            resolution=int(self.resolution[row]),
            num_classes=int(self.num_classes[row]),
            output=OUTPUTS[int(self.output[row])],
            stages=(stages[0], stages[1], stages[2], stages[3]),
        )


def shapes_of(architectures: Sequence[Architecture]) -> Shapes:
    """Return the arrays of `architectures`, in order."""
    stages = [architecture.stages for architecture in architectures]

    def column(attribute: str, kind: type) -> npt.NDArray[np.generic]:
        values = [[getattr(stage, attribute) for stage in four] for four in stages]
        return np.array(values, dtype=kind).reshape(len(stages), 4)

    return Shapes(
        width=column("width", np.int64),  # type: ignore[arg-type]
        depth=column("depth", np.int64),  # type: ignore[arg-type]
        se=np.array(
            [[int(stage.se, 2) for stage in four] for four in stages], dtype=np.uint64
        ).reshape(len(stages), 4),
        expansion=column("expansion", np.float64),  # type: ignore[arg-type]
        kernel=column("kernel", np.int64),  # type: ignore[arg-type]
        plain=column("downsample", np.str_) == PLAIN,
        resolution=np.array([a.resolution for a in architectures], dtype=np.int64),
        num_classes=np.array([a.num_classes for a in architectures], dtype=np.int64),
        output=np.array([OUTPUTS.index(a.output) for a in architectures], dtype=np.int64),
    )
