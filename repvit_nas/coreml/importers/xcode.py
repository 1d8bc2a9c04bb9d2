"""Xcode's performance reports: bundles `NAME.mlperf` with a `report.json`.

Apple documents no format; keys that are not known are passed over, and what is missing is named.
Serial number, device identifier and device name are dropped here: they go no further.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from repvit_nas import files
from repvit_nas.coreml.importers.imported import Imported, checked
from repvit_nas.errors import FileError

BUNDLE: Final = ".mlperf"
REPORT_FILE: Final = "report.json"
TOOL: Final = "xcode-report"
_MS_PER_SECOND: Final = 1e3
_COMPUTE_UNITS: Final = {0: "CPU_ONLY", 1: "CPU_AND_GPU", 2: "ALL", 3: "CPU_AND_NE"}


class _Model(msgspec.Struct):
    fileName: str  # noqa: N815  # Apple's key


class _Device(msgspec.Struct):
    """Who timed it, without serial number, identifier and name: they are not fields, so not read."""

    modelName: str = ""  # noqa: N815
    osNameAndVersionWithoutBuildNumber: str = ""  # noqa: N815


class _Samples(msgspec.Struct):
    samples: tuple[float, ...]


class _Results(msgspec.Struct):
    predict: _Samples
    modelStructure: Any = None  # noqa: N815


class _Report(msgspec.Struct):
    modelMetadata: _Model  # noqa: N815
    deviceResults: _Results  # noqa: N815
    deviceInfo: _Device = msgspec.field(default_factory=_Device)  # noqa: N815
    computeUnit: int | None = None  # noqa: N815


def read_report(bundle: Path) -> Imported:
    """Read a report: a bundle, or its `report.json` alone.

    Raises:
        FileError: A part that is needed is missing or not as expected.
    """
    path = bundle / REPORT_FILE if bundle.is_dir() else bundle
    report = files.read_json(path, _Report, schema=None)
    samples = tuple(_MS_PER_SECOND * value for value in report.deviceResults.predict.samples)
    if not samples or not all(0 < value < float("inf") for value in samples):
        raise FileError(
            f"{path}: deviceResults.predict.samples must be seconds above 0; got "
            f"{report.deviceResults.predict.samples[:3]}"
        )
    units = report.computeUnit
    return checked(
        Imported(
            name=_stem(report.modelMetadata.fileName),
            samples=samples,
            tool=TOOL,
            model=report.deviceInfo.modelName,
            system=report.deviceInfo.osNameAndVersionWithoutBuildNumber,
            compute_units="" if units is None else _COMPUTE_UNITS.get(units, f"unit {units}"),
            operations=_operations(report.deviceResults.modelStructure),
            origin=str(bundle),
        )
    )


def _stem(name: str) -> str:
    for suffix in (".mlpackage", ".mlmodelc", ".mlmodel"):
        name = name.removesuffix(suffix)
    return name


def _operations(structure: Any) -> tuple[tuple[str, str, float | None], ...]:
    """Return name, preferred processor and cost of each operation, where the report has them."""
    program = _at(structure, "program")
    if "functions" not in program:  # an enumeration's payload, by Swift's own encoding
        program = _at(program, "_0")
    listed = _at(program, "functions", "main", "block").get("operations")
    found = []
    for item in listed if isinstance(listed, list) else []:
        weight = _at(item, "cost").get("weight")
        preferred = _at(item, "deviceUsage", "preferred")
        processor = preferred.get("deviceType")
        if isinstance(processor, dict):
            processor = next(iter(processor), None)
        if not isinstance(processor, str) or not isinstance(weight, int | float):
            continue
        outputs = item.get("outputs")
        first = outputs[0] if isinstance(outputs, list) and outputs else {}
        found.append((str(_at(first).get("name") or item.get("operatorName")), processor, weight))
    return tuple(found)


def _at(value: Any, *keys: str) -> dict[str, Any]:
    """Return what is under `keys`; empty if it is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
