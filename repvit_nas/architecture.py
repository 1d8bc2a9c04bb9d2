"""What a RepViT network is: four stages of blocks, as a frozen and validated record.

This is also the format of an architecture file (schema 1); see `docs/formats.md`.
"""

from pathlib import Path
from typing import Final, Literal, TypeVar, get_args

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

# What a network hands back: the scores of its classes, the maps of its four stages, or the one map that
# SAM's decoder takes, by the neck of RepViT-SAM or by one that fuses the last two stages.
OutputKind = Literal["logits", "features", "sam", "sam-fused"]
OUTPUTS: Final[tuple[OutputKind, ...]] = get_args(OutputKind)
LOGITS: Final = "logits"
FEATURES: Final = "features"
SAM: Final = "sam"
SAM_FUSED: Final = "sam-fused"
# The side of the input that SAM's decoder is used with.
SAM_RESOLUTION: Final = 1024
# Channels of the map that it takes.
SAM_CHANNELS: Final = 256
# What an input's side must be a multiple of, so that the map is a sixteenth of it, and for the fused
# neck the last stage's map half of that.
SAM_STEP: Final[dict[OutputKind, int]] = {SAM: 16, SAM_FUSED: 32}

Value = TypeVar("Value")


def written(default: Value) -> Value:
    """Declare a field that is written even where it has its default.

    In records that leave out defaults, so that a field of a later version changes no older file.
    """
    return msgspec.field(default_factory=lambda: default)


def usual_output(output: OutputKind, num_classes: int) -> OutputKind:
    """Return what is handed back where nobody says so but by the classes: with none, features."""
    if output != LOGITS:
        return output
    return LOGITS if num_classes else FEATURES


def usual_resolution(output: OutputKind) -> int | None:
    """Return the side of the input where nobody says; None for the space's own."""
    return SAM_RESOLUTION if output in SAM_STEP else None


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
    expansion: float = written(2.0)
    kernel: int = written(3)
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
    omit_defaults=True,
    tag_field="schema",
    tag=SCHEMA,
):
    """A RepViT network.

    Attributes:
        stages: The four stages, at strides 4, 8, 16 and 32.
        name: What to call it, in one line.
        resolution: Side of the square input image in pixels.
        num_classes: Outputs of the classifier; 0 where the network hands back maps.
        output: What it hands back: `logits`; `features`, the maps of its four stages, `(batch, width,
            side, side)` each; `sam`, the map of RepViT-SAM's encoder, `(batch, 256, side / 16, side /
            16)`; or `sam-fused`, such a map of the last two stages. Without it, no classes are
            `features`.

    In files, the version of the format is the field `schema`; that of another one is another record.
    """

    name: str = written("")
    resolution: int = written(224)
    num_classes: int = written(1000)
    output: OutputKind = LOGITS
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
        require(self.output in OUTPUTS, f"output must be {', '.join(OUTPUTS)}", self.output)
        if self.output == LOGITS:
            # The very object, which is how a default is known when it is written.
            output = usual_output(self.output, self.num_classes)
            msgspec.structs.force_setattr(self, "output", output)
        else:
            require(
                self.num_classes == 0,
                f"num_classes must be 0 where output is {self.output}",
                self.num_classes,
            )
        step = SAM_STEP.get(self.output, 1)
        require(
            self.resolution % step == 0,
            f"resolution must be a multiple of {step} where output is {self.output}",
            self.resolution,
        )


def with_output(
    architecture: Architecture,
    output: OutputKind,
    *,
    num_classes: int | None = None,
    resolution: int | None = None,
) -> Architecture:
    """Return the network with something else behind its stages.

    Args:
        architecture: The network.
        output: What it shall hand back.
        num_classes: Outputs of its classifier, where it gets one; None keeps them, or takes 1000.
        resolution: Side of its input; None keeps it.

    Raises:
        ValueError: The neck cannot take the resolution, or there are classes without a classifier.
    """
    kept = architecture.num_classes or 1000 if output == LOGITS else 0
    return msgspec.structs.replace(
        architecture,
        output=output,
        num_classes=kept if num_classes is None else num_classes,
        resolution=architecture.resolution if resolution is None else resolution,
    )


def with_classes(
    architecture: Architecture, num_classes: int, resolution: int | None = None
) -> Architecture:
    """Return the network with a classifier of so many outputs; with 0, as it hands back maps.

    Args:
        architecture: The network.
        num_classes: The outputs.
        resolution: Side of its input; None keeps it.
    """
    maps: OutputKind = FEATURES if architecture.output == LOGITS else architecture.output
    output: OutputKind = LOGITS if num_classes else maps
    return with_output(architecture, output, num_classes=num_classes, resolution=resolution)


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
    if architecture.output not in (LOGITS, FEATURES):
        text += f" / {architecture.output}"
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
