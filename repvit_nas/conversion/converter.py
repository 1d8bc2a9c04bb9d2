"""coremltools, imported when it is first needed: that takes seconds; the one way to convert and save.

A package depends on what was converted alone: two processes write the same bytes.
"""

import functools
import io
import json
import logging
import re
import shutil
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from repvit_nas import files
from repvit_nas.conversion.package import MANIFEST_PATH, SPEC_PATH, TARGET, WEIGHTS_PATH
from repvit_nas.errors import FileError

if TYPE_CHECKING:
    from torch import nn

# What converts and times programs, in pip's words; pyproject.toml asks for the same.
REQUIRED: Final = "coremltools>=9.0"
# coremltools keeps what it converts in global state: two conversions at once break each other.
_ONE_AT_A_TIME: Final = threading.RLock()
_LOGGERS: Final = ("coremltools", "coremltools.converters", "coremltools.models")
# A package's identifiers follow from its content, so that two packages of one content are equal.
_IDENTIFIERS: Final = uuid.UUID("6f2f4dd8-6a3c-4a0c-9a57-3b1f6a0c7d11")


def installed_version() -> str:
    """Return the version of coremltools that is installed; empty if none is."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("coremltools")
    except PackageNotFoundError:
        return ""


def too_old(version: str) -> str:
    """Say what to do about a version that is older than the one required; empty if it is not."""
    if _numbers(version) >= _numbers(REQUIRED):
        return ""
    return f"{version or 'an unknown version'} is too old: pip install --upgrade '{REQUIRED}'"


def _numbers(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(part) for part in [*re.findall(r"\d+", text), "0", "0"][:2])


@functools.lru_cache(maxsize=1)
def coremltools() -> Any:
    """Import coremltools without its remarks on versions, and on what only a Mac can load."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coremltools as tools
    return tools


def converted(module: "nn.Module", *shapes: Sequence[int], **interface: Any) -> Any:
    """Convert a module to an fp16 ML program for iOS 16, one thread at a time.

    Args:
        module: In evaluation mode.
        *shapes: Of each of its inputs.
        **interface: What `coremltools.convert` takes for inputs, outputs and classes.
    """
    import torch

    tools = coremltools()
    with one_at_a_time(), torch.no_grad():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            module, tuple(torch.zeros(tuple(shape)) for shape in shapes), check_trace=False
        )
        return tools.convert(
            traced,
            convert_to="mlprogram",
            minimum_deployment_target=tools.target[TARGET],
            compute_precision=tools.precision.FLOAT16,
            compute_units=tools.ComputeUnit.CPU_AND_NE,
            skip_model_load=True,
            **interface,
        )


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one thread use coremltools, its progress bars and warnings hidden, which change with versions."""
    with _ONE_AT_A_TIME, _quiet():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def save(
    model: Any, package: Path, *, title: str = "", known: Mapping[str, str] | None = None
) -> None:
    """Write what was converted as a package, beside its place first.

    Args:
        model: From :func:`converted`.
        package: Where to; an older package there is replaced, and stays where the disk is full.
        title: What the package says it is.
        known: What else it says of itself.

    Raises:
        FileError: It cannot be written.
    """
    try:
        package.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=package.parent, prefix=f".{package.name}.") as beside:
            made = Path(beside) / package.name
            _write(model, made, title, known or {})
            if package.exists():
                shutil.rmtree(package)
            made.replace(package)
    except OSError as error:
        raise FileError(f"{package}: cannot be written: {error.strerror or error}") from error


def _write(model: Any, package: Path, title: str, known: Mapping[str, str]) -> None:
    """Write a package whose bytes follow from the program: no dates, no random identifiers.

    coremltools' own `save` draws identifiers, and protobuf orders maps anew in every process.
    """
    specification = model.get_spec()
    metadata = specification.description.metadata
    metadata.Clear()
    if title:
        metadata.shortDescription = title
    metadata.userDefined.update(known)
    content = specification.SerializeToString(deterministic=True)
    weights = Path(model.weights_dir) / "weight.bin"
    stem = files.digest(content, weights)
    model_id, weights_id = (str(uuid.uuid5(_IDENTIFIERS, f"{stem}{part}")) for part in "mw")
    entries = {
        model_id: ("model.mlmodel", "CoreML Model Specification"),
        weights_id: ("weights", "CoreML Model Weights"),
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            identifier: {
                "author": "com.apple.CoreML",
                "description": description,
                "name": name,
                "path": f"com.apple.CoreML/{name}",
            }
            # In the order that coremltools rewrites a manifest in as soon as it opens a package.
            for identifier, (name, description) in sorted(entries.items())
        },
        "rootModelIdentifier": model_id,
    }
    for path, written in (
        (SPEC_PATH, content),
        (MANIFEST_PATH, json.dumps(manifest, indent=4).encode() + b"\n"),
    ):
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_bytes(written)
    (package / WEIGHTS_PATH).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, package / WEIGHTS_PATH)
