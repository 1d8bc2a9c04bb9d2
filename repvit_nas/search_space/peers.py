"""Networks of other families with their best published iPhone 12 latency and top-1, for a plot."""

import functools
from typing import Annotated, Literal

import msgspec

from repvit_nas import data, files
from repvit_nas.quantities import Factor, Milliseconds, Side

# The phone that all rows of the file are of.
PEERS_DEVICE = "iphone12"


class Peer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network at one resolution; figures are the reporters', on an iPhone 12 and ImageNet-1k.

    Attributes:
        model: What its authors call it.
        family: The family it belongs to.
        resolution: Side of the input in pixels.
        latency_ms: Published milliseconds.
        top1: Published percent.
        distilled: Whether it was trained with a teacher; `?` where that is not stated.
        tier: How the latency was taken: `A` by Xcode's report on iOS 16, `B` by another or an
            unstated tool.
        evidence: Whether the latency was printed or read off a figure.
        reported_by: Whose paper reports the latency.
        source: Where.
        params_m: Published parameters in millions.
        gmacs: Published multiply-accumulates in thousand millions.
    """

    model: str
    family: str
    resolution: Side
    latency_ms: Milliseconds
    top1: Annotated[float, msgspec.Meta(gt=0, lt=100)]
    distilled: Literal["yes", "no", "?"]
    tier: Literal["A", "B"]
    evidence: str
    reported_by: str
    source: str
    params_m: Factor | None = None
    gmacs: Factor | None = None


@functools.lru_cache(maxsize=1)
def peers() -> tuple[Peer, ...]:
    """Return the published networks of other families, in the order of their file."""
    found = data.find("search_space", "peers.csv", "table of peers")
    return tuple(files.read_csv(found.path, Peer))
