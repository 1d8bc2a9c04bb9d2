"""The reference networks M0.6 to M2.3 and the older M1 to M3, with what was published of them."""

import functools
from typing import Annotated, Literal

import msgspec

from repvit_nas import data, files
from repvit_nas.architecture import (
    MAX_DEPTH,
    MAX_WIDTH,
    SE_PATTERNS,
    Architecture,
    Stage,
    se_bits,
)
from repvit_nas.errors import UnknownNameError

# Bounded where it is read: a depth is repeated into a bit string before a stage checks it.
StageSize = Annotated[int, msgspec.Meta(ge=1, le=max(MAX_DEPTH, MAX_WIDTH))]
Four = tuple[StageSize, StageSize, StageSize, StageSize]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
TrainedBy = Literal["distilled-300", "distilled-450", "plain-300"]
# The recipe whose accuracy the estimator speaks of.
TARGET_RECIPE: TrainedBy = "distilled-300"


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reference network.

    Attributes:
        name: As timm names it.
        title: As the paper names it.
        width: Channels per stage.
        depth: Blocks after the downsample per stage.
        params_m: Published parameters of the fused network in millions.
        gmacs: Published multiply-accumulates at 224 px in thousand millions.
        legacy: The older form of the depthwise branch (another BN placement at training).
        timm: The name of timm's checkpoint; empty where timm has none.
    """

    name: str
    title: str
    width: Four
    depth: Four
    params_m: Positive | None = None
    gmacs: Positive | None = None
    legacy: bool = False
    timm: str = ""

    def __post_init__(self) -> None:
        """Check that it is a network."""
        _build(self.name, self.width, self.depth, "alternate")

    @property
    def architecture(self) -> Architecture:
        """The network as a record, at 224 px with 1000 classes."""
        return _build(self.name, self.width, self.depth, "alternate")


class FamilyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `family.toml` (schema 1)."""

    schema: Literal[1]
    networks: tuple[Reference, ...]

    def __post_init__(self) -> None:
        """Check that each network has a name of its own."""
        names = [network.name for network in self.networks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"networks must have different names; got {twice!r} twice")


class PublishedAccuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ImageNet-1k top-1 accuracy that somebody published.

    Attributes:
        network: What the row is called.
        family: `repvit`, or `repnext` whose networks have the same shape but another token mixer.
        width: Channels per stage, joined by `-`.
        depth: Blocks per stage after the downsample, joined by `-`.
        se: Placement of SE.
        recipe: Epochs, and whether distilled from RegNetY-16GF.
        top1: Percent.
        source: Where it was published.
    """

    network: str
    family: Literal["repvit", "repnext"]
    width: str
    depth: str
    se: Literal["none", "alternate", "all"]
    recipe: TrainedBy
    top1: Annotated[float, msgspec.Meta(gt=0, lt=100)]
    source: str

    def __post_init__(self) -> None:
        """Check that it is a network."""
        _ = self.architecture

    @property
    def architecture(self) -> Architecture:
        """The network as a record, at 224 px with 1000 classes."""
        return _build(self.network, _four(self.width), _four(self.depth), self.se)


def _four(text: str) -> Four:
    parts = text.split("-")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"width and depth must be four numbers joined by '-'; got {text[:40]!r}")
    first, second, third, fourth = (int(part) for part in parts)
    return (first, second, third, fourth)


@functools.lru_cache(maxsize=256)  # records are frozen, and are asked for again and again
def _build(name: str, width: Four, depth: Four, se: str) -> Architecture:
    if max(depth) > MAX_DEPTH:
        raise ValueError(f"depth must be 1 to {MAX_DEPTH}; got {max(depth)}")
    first, second, third, fourth = (
        Stage(width=w, depth=d, se=se_bits(SE_PATTERNS[se], d))
        for w, d in zip(width, depth, strict=True)
    )
    return Architecture(name=name, stages=(first, second, third, fourth))


@functools.lru_cache(maxsize=1)
def family() -> dict[str, Reference]:
    """Return the reference networks by name, in the order of their file."""
    found = data.find("search_space", "family.toml", "reference family")
    return {network.name: network for network in files.read_toml(found.path, FamilyFile).networks}


def reference(name: str) -> Reference:
    """Return the reference network `name`.

    Raises:
        UnknownNameError: There is no such network.
    """
    networks = family()
    if name not in networks:
        raise UnknownNameError.of("network", name, list(networks))
    return networks[name]


def accuracy_table() -> data.Found:
    """Return where the published accuracies are."""
    return data.find("search_space", "published_accuracy.csv", "table of accuracies")


@functools.lru_cache(maxsize=1)
def published_accuracies() -> tuple[PublishedAccuracy, ...]:
    """Return the published accuracies in the order of their file."""
    return tuple(files.read_csv(accuracy_table().path, PublishedAccuracy))


def published_top1(name: str, recipe: TrainedBy = TARGET_RECIPE) -> PublishedAccuracy | None:
    """Return the published accuracy of the reference network `name`, or None."""
    for row in published_accuracies():
        if row.network == name and row.recipe == recipe:
            return row
    return None
