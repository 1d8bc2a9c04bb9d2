"""What an `.mlpackage` is on disk: known here without torch and coremltools."""

from pathlib import Path
from typing import Final

from repvit_nas import files
from repvit_nas.errors import FileError

SUFFIX: Final = ".mlpackage"
# What Apple's compiler makes of a package.
COMPILED_SUFFIX: Final = ".mlmodelc"
MANIFEST_PATH: Final = "Manifest.json"
SPEC_PATH: Final = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS_PATH: Final = "Data/com.apple.CoreML/weights/weight.bin"
# The name of a program's input.
INPUT: Final = "image"
# The oldest system that runs a program.
TARGET: Final = "iOS16"


def package_digest(package: Path) -> str:
    """Return the digest of a package's bytes.

    Raises:
        FileError: A part is missing.
    """
    parts = (MANIFEST_PATH, SPEC_PATH, WEIGHTS_PATH)
    try:
        return files.digest(*(package / part for part in parts))
    except OSError as error:
        raise FileError(f"{package}: cannot be read: {error.strerror or error}") from error
