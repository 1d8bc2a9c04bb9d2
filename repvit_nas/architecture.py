"""What a RepViT network is: four stages of blocks, as a frozen and validated record.

This is also the format of an architecture file (schema 1); see `docs/formats.md`.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import files

SCHEMA: Final = 1
STAGES: Final = 4
KERNELS: Final = (3, 5, 7)
# Bounds of sanity, far outside any useful network; a search space states much tighter ones.
MAX_WIDTH: Final = 4096
MAX_DEPTH: Final = 64
MAX_EXPANSION: Final = 16.0
RESOLUTIONS: Final = (32, 4096)
MAX_CLASSES: Final = 1_000_000
MAX_NAME: Final = 200


def require(holds: bool, rule: str, arrived: object) -> None:
    """Raise unless a rule of a record holds.

    Raises:
        ValueError: It does not.
    """
    if not holds:
        raise ValueError(f"{rule}; got {arrived!r}")


# What opens stages 2 to 4: a block, a downsample and an FFN, or the downsample alone.
Downsampling = Literal["deep", "plain"]
DEEP: Final = "deep"
PLAIN: Final = "plain"


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One stage: `depth` equal blocks behind the downsample that opens it.

    Attributes:
        width: Channels, a multiple of 8.
        depth: Blocks after the downsample, as timm counts them.
        se: One digit per block, `1` where the block has squeeze-and-excitation.
        expansion: Hidden channels of every FFN in the stage as a multiple of its width.
        kernel: Side of the depthwise convolutions: 3, 5 or 7.
        downsample: What opens the stage: a block, a downsample and an FFN, or the downsample alone. A
            file says it only where it is plain.
    """

    width: int
    depth: int
    se: str
    # A factory's value is always written, which those of old files are.
    expansion: float = msgspec.field(default_factory=lambda: 2.0)
    kernel: int = msgspec.field(default_factory=lambda: 3)
    downsample: Downsampling = DEEP

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        require(
            8 <= self.width <= MAX_WIDTH and self.width % 8 == 0,
            f"width must be a multiple of 8 from 8 to {MAX_WIDTH}",
            self.width,
        )
        require(1 <= self.depth <= MAX_DEPTH, f"depth must be 1 to {MAX_DEPTH}", self.depth)
        require(
            len(self.se) == self.depth and set(self.se) <= {"0", "1"},
            f"se must have one digit, 0 or 1, for each of the {self.depth} blocks",
            self.se,
        )
        require(
            0.25 <= self.expansion <= MAX_EXPANSION,
            f"expansion must be 0.25 to {MAX_EXPANSION:g}",
            self.expansion,
        )
        require(self.kernel in KERNELS, "kernel must be 3, 5 or 7", self.kernel)
        require(
            self.downsample in (DEEP, PLAIN), "downsample must be deep or plain", self.downsample
        )
        if self.downsample == DEEP:  # what is left out of files is told by identity
            msgspec.structs.force_setattr(self, "downsample", DEEP)


def check_name(name: str) -> None:
    """Raise unless a network may be called so."""
    require(
        name.isprintable() and len(name) <= MAX_NAME,
        f"name must be printable text of at most {MAX_NAME} characters",
        name[: MAX_NAME + 1],
    )


class Architecture(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="schema",
    tag=SCHEMA,
):
    """A RepViT network.

    Attributes:
        stages: The four stages, at strides 4, 8, 16 and 32.
        name: What to call it, in one line.
        resolution: Side of the square input image in pixels.
        num_classes: Outputs of the classifier; 0 is a backbone that hands back the maps of its four
            stages, `(batch, width, side, side)` each.

    In files, the version of the format is the field `schema`; that of another one is another record.
    """

    name: str = ""
    resolution: int = 224
    num_classes: int = 1000
    stages: tuple[Stage, Stage, Stage, Stage]

    def __post_init__(self) -> None:
        """Check the rules that types do not state, and that only a file's reader states of stages."""
        stages = tuple(self.stages)
        require(
            len(stages) == STAGES and all(isinstance(stage, Stage) for stage in stages),
            f"stages must be {STAGES} records of type Stage",
            stages,
        )
        msgspec.structs.force_setattr(self, "stages", stages)  # a list cannot be hashed
        require(
            stages[0].downsample == DEEP,
            "stages[0] opens with the stem, so its downsample must be deep",
            stages[0].downsample,
        )
        check_name(self.name)
        low, high = RESOLUTIONS
        require(
            low <= self.resolution <= high, f"resolution must be {low} to {high}", self.resolution
        )
        require(
            0 <= self.num_classes <= MAX_CLASSES,
            f"num_classes must be 0 to {MAX_CLASSES}",
            self.num_classes,
        )


def hidden_channels(width: int, expansion: float) -> int:
    """Return the hidden channels of an FFN: the nearest integer to `width` × `expansion`."""
    return max(1, round(width * expansion))


def shape_text(architecture: Architecture) -> str:
    """Return the network's shape in one short line, such as `48-96-192-384 / 2-2-14-2 / se … `."""
    stages = architecture.stages

    def joined(values: list[object]) -> str:
        return str(values[0]) if len(set(values)) == 1 else "-".join(map(str, values))

    widths = "-".join(str(stage.width) for stage in stages)
    depths = "-".join(str(stage.depth) for stage in stages)
    text = f"{widths} / {depths} / se {joined([_se_name(stage.se) for stage in stages])}"
    text += f" / x{joined([f'{stage.expansion:g}' for stage in stages])}"
    if {stage.kernel for stage in stages} != {3}:
        text += f" / k{joined([stage.kernel for stage in stages])}"
    if PLAIN in {stage.downsample for stage in stages}:
        text += f" / {joined([stage.downsample for stage in stages[1:]])}"
    if architecture.resolution != 224:
        text += f" / {architecture.resolution}px"
    return text


def _se_name(se: str) -> str:
    for name, pattern in SE_PATTERNS.items():
        if se == se_bits(pattern, len(se)):
            return {"none": "0", "alternate": "½", "all": "1"}[name]
    return se


# The named placements of SE in a stage, as the repeating unit of its bit string.
SE_PATTERNS: Final = {"none": "0", "alternate": "10", "all": "1"}


def se_bits(pattern: str, depth: int) -> str:
    """Repeat `pattern` (such as `10`) to one digit for each of `depth` blocks."""
    return (pattern * depth)[:depth]


def read_architecture(path: str | Path) -> Architecture:
    """Read an architecture file.

    Raises:
        FileError: The file is not a valid architecture; the message names the field.
    """
    return files.read_json(Path(path), Architecture, schema=SCHEMA)


def write_architecture(path: str | Path, architecture: Architecture) -> None:
    """Write an architecture file, one stage a line."""
    files.write_bytes(Path(path), architecture_json(architecture))


def architecture_json(architecture: Architecture) -> bytes:
    """Return the content of an architecture file: the scalars, then one stage a line."""
    document = msgspec.to_builtins(architecture)
    stages = ",\n  ".join(msgspec.json.encode(stage).decode() for stage in document.pop("stages"))
    head = msgspec.json.encode(document).decode().removesuffix("}")
    return f'{head},\n "stages": [\n  {stages}]}}\n'.encode()
