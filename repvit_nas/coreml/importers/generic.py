"""Latencies of a device lab as CSV or JSON: one row or object a report.

`program` (the package's name) and `latency_ms` or `samples_ms` (several, separated by `;` in CSV) are
needed; `tool`, `model`, `system` and `compute_units` are read where they are. Other columns are passed
over.
"""

import codecs
import csv
import io
from pathlib import Path
from typing import Any, Final

import msgspec

from repvit_nas import files
from repvit_nas.coreml.importers.imported import Imported, checked
from repvit_nas.errors import FileError
from repvit_nas.files import shown

# Files of an export, and of a bundle, that hold no latencies.
OWN_FILES: Final = ("manifest.json", "plan.json", "report.json")
# Spreadsheets put a mark before the header.
_ENCODING: Final = "utf-8-sig"
_OPTIONAL: Final = ("tool", "model", "system", "compute_units")


def read_csv(path: Path) -> list[Imported]:
    """Read a CSV file with a header.

    Raises:
        FileError: It is no CSV, or a row lacks something.
    """
    try:
        lines = list(
            csv.DictReader(io.StringIO(files.read_bytes(path).decode(_ENCODING)), strict=True)
        )
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path}: is no valid CSV: {error}") from error
    return [_imported(f"{path}: line {number}", row) for number, row in enumerate(lines, start=2)]


def read_json(path: Path) -> list[Imported]:
    """Read a JSON list of objects, or an object with such a list under `measurements`.

    Raises:
        FileError: It is no such JSON, or an object lacks something.
    """
    try:
        document = msgspec.json.decode(files.read_bytes(path).removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(f"{path}: is no valid JSON: {error}") from error
    items = document.get("measurements") if isinstance(document, dict) else document
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise FileError(
            f"{path}: must be a list of objects, or an object with a list `measurements`; got "
            f"{type(document).__name__}"
        )
    return [_imported(f"{path}: item {number}", item) for number, item in enumerate(items, start=1)]


def _imported(origin: str, row: dict[str, Any]) -> Imported:
    name = row.get("program")
    if not isinstance(name, str) or not name.strip():
        raise FileError(
            f"{origin}: `program` is missing: the package's name; got {sorted(row, key=str)}"
        )
    texts = {field: _text(origin, field, row.get(field)) for field in _OPTIONAL}
    return checked(
        Imported(
            name=name.strip().removesuffix(".mlpackage"),
            samples=_samples(origin, row),
            tool=texts["tool"] or "device-lab",
            model=texts["model"],
            system=texts["system"],
            compute_units=texts["compute_units"],
            operations=(),
            origin=origin,
        )
    )


def _text(origin: str, field: str, given: Any) -> str:
    if given is None:
        return ""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise FileError(f"{origin}: `{field}` must be text; got {shown(given)}")
    return str(given).strip()


def _samples(origin: str, row: dict[str, Any]) -> tuple[float, ...]:
    given = row.get("samples_ms") or row.get("latency_ms")
    if given in (None, "", []):
        raise FileError(
            f"{origin}: `latency_ms` or `samples_ms` is missing; got {sorted(row, key=str)}"
        )
    if isinstance(given, str):
        given = [part for part in given.split(";") if part.strip()]
    parts = given if isinstance(given, list) else [given]
    try:
        samples = tuple(float(part) for part in parts)
    except (TypeError, ValueError, OverflowError) as error:
        raise FileError(f"{origin}: latencies must be numbers; got {shown(given)}") from error
    if any(isinstance(part, bool) for part in parts):
        raise FileError(f"{origin}: latencies must be numbers; got {shown(given)}")
    if not samples or not all(0 < value < float("inf") for value in samples):
        raise FileError(f"{origin}: latencies must be milliseconds above 0; got {shown(given)}")
    return samples
