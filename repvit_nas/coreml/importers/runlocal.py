"""RunLocal's results: what its client's `BenchmarkResult.model_dump_json()` gives, as `NAME.runlocal.json`.

The fields are those of runlocal-hub 0.1.7 (github.com/neuralize-ai/runlocal_hub); others are refused, as nobody
here has seen a result. A result does not name its program, so its file does.
"""

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.coreml.importers.imported import Imported, checked, on_a_device
from repvit_nas.errors import FileError

SUFFIX: Final = ".runlocal.json"
TOOL: Final = "runlocal"
# What its client calls a run that may use the Neural Engine, as Core ML does.
_UNITS: Final = "CPU_AND_NE"

Number = float | None


class _Device(msgspec.Struct, forbid_unknown_fields=True):
    Name: str
    Soc: str
    OS: str
    OSVersion: str
    Year: int | None = None
    Ram: int | None = None
    DiscreteGpu: str | None = None
    VRam: int | None = None


class _Run(msgspec.Struct, forbid_unknown_fields=True):
    """One set of compute units: milliseconds of its calls, and what is not read here."""

    ComputeUnit: str
    Success: bool | None = None
    Status: Literal["Pending", "Complete", "Failed", "Running", "Deleted"] | None = None
    InferenceMsArray: tuple[float, ...] | None = None
    InferenceMsAverage: Number = None
    InferenceMsMedian: Number = None
    LoadMsArray: tuple[float, ...] | None = None
    LoadMsAverage: Number = None
    LoadMsMedian: Number = None
    PrefillTokens: int | None = None
    GenerationTokens: int | None = None
    PrefillTPS: Number = None
    GenerateTPS: Number = None
    PeakLoadRamUsage: Number = None
    PeakRamUsage: Number = None
    PeakInferenceRamUsage: Number = None
    PeakPrefillRamUsage: Number = None
    PeakGenerateRamUsage: Number = None
    FailureReason: str | None = None
    FailureError: str | None = None
    Stdout: str | None = None
    Stderr: str | None = None
    OutputTensorsId: str | None = None
    Versions: dict[str, str] | None = None
    Settings: dict[str, Any] | None = None


class _Result(msgspec.Struct, forbid_unknown_fields=True):
    device: _Device
    benchmark_data: tuple[_Run, ...]
    outputs: dict[str, dict[str, str]] | None = None


def read_result(path: Path) -> Imported:
    """Read a result; of its runs the one on `CPU_AND_NE`.

    Raises:
        FileError: A field is missing or not known, the run failed, or none was on the Neural Engine.
    """
    result = files.read_json(path, _Result, schema=None)
    runs = [run for run in result.benchmark_data if run.ComputeUnit == _UNITS]
    if len(runs) != 1:
        others = ", ".join(run.ComputeUnit for run in result.benchmark_data) or "none"
        raise FileError(
            f"{path}: benchmark_data must hold one run with ComputeUnit {_UNITS}; got {others}: only "
            "what may use the Neural Engine counts"
        )
    (run,) = runs
    if run.Success is not True or run.Status not in (None, "Complete") or not run.InferenceMsArray:
        raise FileError(
            f"{path}: the run on {_UNITS} must be a success with `InferenceMsArray`; got Success "
            f"{run.Success}, Status {run.Status}, {len(run.InferenceMsArray or ())} latencies"
        )
    device = result.device
    on_a_device(str(path), device.Name, device.OS, device.Soc)
    return checked(
        Imported(
            name=path.name.removesuffix(SUFFIX),
            samples=run.InferenceMsArray,
            tool=TOOL,
            model=device.Name,
            system=f"{device.OS} {device.OSVersion}",
            compute_units=_UNITS,
            operations=(),
            origin=str(path),
        )
    )
