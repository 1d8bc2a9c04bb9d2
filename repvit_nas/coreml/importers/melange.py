"""ZETIC Melange's reports: what `melange report view KEY --type general --json` prints, as `NAME.melange.json`.

Melange converts a network itself and does not say by what, so its latencies are those of another runtime. The
fields are those of the client's own schema (github.com/zetic-ai/melange-cli, August 2026); others are refused, as
nobody here has seen a report. A report does not name its program, so its file does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from repvit_nas import files
from repvit_nas.coreml.importers.imported import Imported, checked, on_a_device
from repvit_nas.errors import FileError
from repvit_nas.quantities import Count, Number

SUFFIX: Final = ".melange.json"
TOOL: Final = "zetic-melange"
# What the runtime is called: no series of it is one of Core ML.
RUNTIME: Final = "melange"
_LATENCY: Final = "latency_ms"
# Its client knows "Apple iPhone 12".
_MAKER: Final = "Apple "


class _MelangeDevice(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None
    marketing_name: str | None
    soc: str | None
    os: str | None

    @property
    def title(self) -> str:
        """The model without its maker."""
        return (self.marketing_name or "").removeprefix(_MAKER)


class _MelangeRecord(msgspec.Struct, forbid_unknown_fields=True):
    device: _MelangeDevice
    ap_type: Literal["cpu", "gpu", "npu"] | None
    variant: str | None
    precision: Literal["fp32", "fp16", "int8"]
    run: Count
    metric: Literal[
        "latency_ms",
        "tensor_copy_latency_ms",
        "snr_db",
        "memory_load_peak_mb",
        "memory_load_min_mb",
        "memory_inference_peak_mb",
        "memory_inference_min_mb",
    ]
    value: Number
    unit: Literal["ms", "db", "mb"]


class _MelangeModel(msgspec.Struct, forbid_unknown_fields=True):
    key: Any
    version: Any


class _MelangeReport(msgspec.Struct, forbid_unknown_fields=True):
    derivation_version: Any
    model: _MelangeModel
    records: tuple[_MelangeRecord, ...]
    summary: Any = None


def read_report(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> Imported:
    """Read a report; of its records the latencies on a device's neural processor in half precision.

    Args:
        path: The report.
        wanted: Tells whether a name of a model is the device's; a report is of many.

    Raises:
        FileError: A field is missing or not known, the device or its neural processor is not in it, or its
            latencies are of several conversions.
    """
    report = files.read_json(path, _MelangeReport, schema=None)
    latencies = [each for each in report.records if each.metric == _LATENCY]
    for each in latencies:
        if each.unit != "ms":
            raise FileError(f"{path}: {_LATENCY} must be in ms; got {each.unit!r}")
    here = [each for each in latencies if wanted(each.device.title)]
    if not here:
        names = sorted({each.device.title or "no name" for each in latencies})
        raise FileError(
            f"{path}: holds no {_LATENCY} of the device; got those of {', '.join(names) or 'none'}"
        )
    found = [each for each in here if each.ap_type == "npu" and each.precision == "fp16"]
    if not found:
        kinds = sorted({f"{each.ap_type} {each.precision}" for each in here})
        raise FileError(
            f"{path}: holds no {_LATENCY} on the npu in fp16; got {', '.join(kinds)}: only what runs on the "
            "Neural Engine counts"
        )
    first = found[0].device
    if any(each.device != first or each.variant != found[0].variant for each in found):
        raise FileError(
            f"{path}: its latencies on the npu in fp16 are of several models, systems or conversions "
            "(`device`, `variant`), which nothing says how to choose from: keep the records of one"
        )
    on_a_device(str(path), first.title, first.name or "", first.os or "", first.soc or "")
    return checked(
        Imported(
            name=path.name.removesuffix(SUFFIX),
            samples=tuple(each.value for each in found),
            tool=TOOL,
            model=first.title,
            system=first.os or "",
            compute_units="npu",
            operations=(),
            origin=str(path),
            runtime=RUNTIME,
        )
    )
