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
from repvit_nas.quantities import Number

SUFFIX: Final = ".runlocal.json"
TOOL: Final = "runlocal"
# What its client calls a run that may use the Neural Engine, as Core ML does.
_UNITS: Final = "CPU_AND_NE"


class _RunLocalDevice(msgspec.Struct, forbid_unknown_fields=True):
    Name: str
    Soc: str
    OS: str
    OSVersion: str
    Year: Any = None
    Ram: Any = None
    DiscreteGpu: Any = None
    VRam: Any = None


class _RunLocalRun(msgspec.Struct, forbid_unknown_fields=True):
    """One set of compute units: milliseconds of its calls, and what is not read here."""

    ComputeUnit: str
    Success: bool | None = None
    Status: Literal["Pending", "Complete", "Failed", "Running", "Deleted"] | None = None
    InferenceMsArray: tuple[Number, ...] | None = None
    InferenceMsAverage: Any = None
    InferenceMsMedian: Any = None
    LoadMsArray: Any = None
    LoadMsAverage: Any = None
    LoadMsMedian: Any = None
    PrefillTokens: Any = None
    GenerationTokens: Any = None
    PrefillTPS: Any = None
    GenerateTPS: Any = None
    PeakLoadRamUsage: Any = None
    PeakRamUsage: Any = None
    PeakInferenceRamUsage: Any = None
    PeakPrefillRamUsage: Any = None
    PeakGenerateRamUsage: Any = None
    FailureReason: Any = None
    FailureError: Any = None
    Stdout: Any = None
    Stderr: Any = None
    OutputTensorsId: Any = None
    Versions: Any = None
    Settings: Any = None


class _RunLocalResult(msgspec.Struct, forbid_unknown_fields=True):
    device: _RunLocalDevice
    benchmark_data: tuple[_RunLocalRun, ...]
    outputs: Any = None


def read_result(path: Path) -> Imported:
    """Read a result; of its runs the one on `CPU_AND_NE`.

    Raises:
        FileError: A field is missing or not known, the run failed, or none was on the Neural Engine.
    """
    result = files.read_json(path, _RunLocalResult, schema=None)
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
