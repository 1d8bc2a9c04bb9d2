"""What pictures have in common: how they are written, and the bands around what is equal."""

import io
from typing import Any


def png(figure: Any) -> bytes:
    """Return a figure of matplotlib as PNG."""
    buffer = io.BytesIO()
    # Without the version of the drawing library, the same figure gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw_bands(axes: Any, low: float, high: float) -> None:
    """Shade what is within 10 % and within 5 % of being equal, from `low` to `high`."""
    for band, alpha in ((0.10, 0.10), (0.05, 0.18)):
        axes.fill_between(
            [low, high],
            [low * (1 - band), high * (1 - band)],
            [low * (1 + band), high * (1 + band)],
            color="0.5",
            alpha=alpha,
            linewidth=0,
            label=f"within {band:.0%}",
        )
