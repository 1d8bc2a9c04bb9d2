"""What an export leaves behind: `export.json`, the forms of a network and how far they agree."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.operations import HALF, WEIGHT_BITS
from repvit_nas.quantities import Count, Deviation, Factor, Milliseconds, Percent, Several

EXPORT_FILE: Final = "export.json"
FUSED_FILE: Final = "fused.safetensors"
ONNX_FILE: Final = "model.onnx"
COREML_FILES: Final = {
    bits: "model.mlpackage" if bits == HALF else f"model-w{bits}.mlpackage" for bits in WEIGHT_BITS
}
WeightBits = Literal[8, 6, 4]


class FewerBits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What weights of fewer bits change of a network.

    Attributes:
        bits: Of a stored weight.
        stored: Percent of the weights that are stored so; small tensors stay in half precision.
        change: Relative root mean square of the change of the probabilities, or of the map that changes
            most, on the images of the form.
        top1: Percent right of the validation images with the stored weights, by torch in single
            precision; None where there are none.
        top1_before: The same with the network's own weights.
        top1_images: Of how many images.
    """

    bits: WeightBits
    stored: Percent
    change: Deviation
    top1: Percent | None = None
    top1_before: Percent | None = None
    top1_images: Count = 0


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One form of a network, read back from its file.

    Attributes:
        name: `fused`, `onnx`, `coreml`, or `coreml-w6` where its weights have 6 bits.
        file: Where it is in the run's folder.
        digest: Of its files.
        size_bytes: Of them.
        error: How far its answers are from the training form's: the largest difference of a score in
            parts of the largest score, against double precision; of Core ML, the relative root mean
            square of the probabilities, or of the map that is furthest off.
        allowed: How far they may be.
        agreement: Percent of the images on which both choose the same class; of maps, of the pixels at
            which the same channel is largest.
        images: How many images that is of.
        ran: What ran it: torch, onnxruntime, Core ML, or an interpreter of the ML program.
        fewer_bits: What weights of fewer bits change; None in half precision and above. Then `error` is
            from the network with the very weights that the form stores.
    """

    name: str
    file: files.FileName
    digest: str
    size_bytes: Count
    error: Deviation
    allowed: Deviation
    agreement: Percent
    images: Count
    ran: str
    fewer_bits: FewerBits | None = None


class Rounding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What precision alone does to a network's scores, in parts of the largest score.

    Attributes:
        images: On how many images that was looked at.
        fusing: How far the fused form is from the training form, both in double precision.
        fusing_allowed: How far it may be.
        single: How far the training form in single precision is from itself in double.
        weights: How far the fused form is whose weights are rounded to single precision and whose
            scores are computed in double.
        factor: How many times the larger of these two a form in single precision may be off.
        allowed: That bound.
    """

    images: Count
    fusing: Deviation
    fusing_allowed: Deviation
    single: Deviation
    weights: Deviation
    factor: Factor
    allowed: Deviation


class ExportRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `export.json` (schema 1).

    Attributes:
        digest: Of the weights that were exported; empty if they are random.
        untrained: Whether they are random, for a latency test only.
        forms: What was made of them.
        compared_on: What images they were compared on; empty where an older version wrote it.
        missing: Why these are not the images to validate on; empty if they are.
        rounding: What the bound in single precision follows from; None where an older version wrote it.
        opset: Of the ONNX file, where one was asked for.
        operations: How often each operation occurs in the Core ML program.
        unfused_ms: Latency of the training form for one image, by torch on one thread here.
        fused_ms: The same of the fused form.
    """

    schema: Literal[1] = 1
    digest: str
    untrained: bool = False
    forms: tuple[Form, ...]
    compared_on: str = ""
    missing: str = ""
    rounding: Rounding | None = None
    opset: Several | None = None
    operations: dict[str, Count] = msgspec.field(default_factory=dict)
    unfused_ms: Milliseconds
    fused_ms: Milliseconds

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits below 16 of stored weights of its forms, the most first."""
        fewer = (form.fewer_bits.bits for form in self.forms if form.fewer_bits)
        return tuple(sorted(fewer, reverse=True))


def read_export(folder: Path) -> ExportRecord | None:
    """Read what was exported of a run, if anything was."""
    path = folder / EXPORT_FILE
    return files.read_json(files.inside(folder, path), ExportRecord) if path.is_file() else None


def form_digest(path: Path) -> str:
    """Return the digest of a form's file, or of all files of its folder; empty if it is missing.

    Raises:
        FileError: It cannot be read.
    """
    if not path.exists():
        return ""
    inner = sorted(each for each in path.rglob("*") if each.is_file())
    try:
        return files.digest(*(each.read_bytes() for each in inner or [path]))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error


def fewer_bits_words(fewer: FewerBits) -> str:
    """Say what weights of fewer bits change of a network."""
    accuracy = "accuracy not taken"  # of maps there is none, or there are no images to validate on
    if fewer.top1 is not None:
        accuracy = f"top-1 {fewer.top1:.2f} % instead of {fewer.top1_before:.2f} % of {fewer.top1_images:,} images"
    return (
        f"{fewer.stored:.1f} % of the weights in {fewer.bits} bits, answers change by "
        f"{fewer.change:.1e}, {accuracy}"
    )
