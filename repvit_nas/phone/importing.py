"""Reports that others made of a device's programs, as series in the device's folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.device import DEVICE_FILE, DeviceFile, RuntimeSpec
from repvit_nas.latency_lut.importers import Imported
from repvit_nas.latency_lut.placement import (
    PLACEMENTS_FILE,
    Placement,
    placement,
    read_placements,
    write_placements,
)
from repvit_nas.latency_lut.plan import PLAN_FILE, Plan
from repvit_nas.latency_lut.protocol import PROTOCOL_VERSION
from repvit_nas.latency_lut.series import NOT_STATED, series_folder, series_name
from repvit_nas.latency_lut.session import RESOLUTION
from repvit_nas.latency_lut.store import OBSERVATIONS_FILE, VisitLog, VisitRecord
from repvit_nas.phone.exporting import Manifest, planned
from repvit_nas.phone.measuring import RUNTIME
from repvit_nas.phone.products import ANY_MAC, PRODUCTS_FILE, Product, products

# Compute units that leave the Neural Engine out: their latencies are not its.
_OTHER_UNITS: Final = ("CPU_ONLY", "CPU_AND_GPU")


def import_series(
    product: Product,
    folder: Path,
    plan: Plan,
    manifest: Manifest,
    reports: list[Imported],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Write imported reports as series of a device, one for each tool, system and compute units.

    Where reports of the same plan were imported before, a program's new ones replace its old ones,
    and the other programs stay.

    Args:
        product: The device.
        folder: Its folder.
        plan: What was exported.
        manifest: The programs of that.
        reports: The reports.
        say: Told what an earlier import is replaced by.

    Returns:
        The names of the series.

    Raises:
        FileError: A report is of a program that was not exported, or of another device.
    """
    named = {entry.name: entry.key for entry in manifest.programs}
    models = {report.model for report in reports if report.model}
    if product.product_type == ANY_MAC and len(models) > 1:
        raise FileError(
            f"reports for --device {product.device} must be of one model; got "
            f"{', '.join(sorted(models))}: import each into a device of its own, such as "
            f"macbook-air-m2 (latency_lut/{PRODUCTS_FILE} lists them)"
        )
    groups: dict[tuple[str, str, str, str], list[Imported]] = {}
    for report in reports:
        if report.name not in named:
            raise FileError(
                f"{report.origin}: program {report.name!r} is not in the manifest; a report's file "
                f"name must be the package's, such as {next(iter(named), 'none')}"
            )
        if report.model and not product.is_called(report.model):
            raise FileError(
                f"{report.origin}: was made on {report.model}, not on {product.title}; import it for "
                "that device"
            )
        kind = (report.tool, report.system, report.compute_units, _model(product, report.model))
        groups.setdefault(kind, []).append(report)
    identity = files.digest(msgspec.json.encode(plan))[:8]
    made = [(kind, *_visits(plan, group, named)) for kind, group in groups.items()]
    names = []
    for (tool, system, units, model), visits, placements in made:
        words = [tool, system or "any-system", units or "any-units", identity]
        if product.product_type == ANY_MAC and model != ANY_MAC:
            words.insert(0, model)
        file = _imported_device(product, plan, (tool, system, units, model))
        name = series_name(folder, "_".join(_word(word) for word in words), file.circumstances)
        home = series_folder(folder, name)
        files.write_bytes(home / PLAN_FILE, files.encode_lines(plan, "units"))
        files.write_json(home / DEVICE_FILE, file)
        replaced = _add(home, visits, placements)
        if replaced:
            say(f"series {name}: {replaced}")
        names.append(name)
    return names


def _model(product: Product, called: str) -> str:
    """Return the model that a report is of: where a name stands for any Mac, the one it states."""
    if product.product_type != ANY_MAC or not called:
        return product.product_type
    known = (row for row in products().values() if row.product_type != ANY_MAC)
    return next((row.product_type for row in known if row.is_called(called)), called)


def _add(home: Path, visits: list[VisitRecord], placements: dict[str, Placement]) -> str:
    """Write visits and placements into a series: those of a program replace what it had.

    Returns:
        How many programs were replaced and kept; empty for a new series.
    """
    new = {visit.key for visit in visits}
    before = VisitLog(home / OBSERVATIONS_FILE).read()
    kept = [visit for visit in before if visit.key not in new]
    where = {
        key: item for key, item in read_placements(home / PLACEMENTS_FILE).items() if key not in new
    }
    write_placements(home / PLACEMENTS_FILE, where | placements)
    merged = (
        msgspec.structs.replace(visit, position=place)
        for place, visit in enumerate((*kept, *visits))
    )
    files.write_bytes(
        home / OBSERVATIONS_FILE,
        b"".join(msgspec.json.encode(visit) + b"\n" for visit in merged),
    )
    there = {visit.key for visit in before}
    if not there:
        return ""
    return (
        f"{len(new - there)} programs are new, {len(new & there)} replace what was there, "
        f"{len(there - new)} are kept as they were"
    )


def _word(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in text.lower())


def _visits(
    plan: Plan, reports: list[Imported], named: dict[str, str]
) -> tuple[list[VisitRecord], dict[str, Placement]]:
    """Return reports as visits: the n-th report of a program is its visit of round n."""
    known = planned(plan)
    seen: dict[str, int] = {}
    visits, placements = [], {}
    for place, report in enumerate(reports):
        key = named[report.name]
        if key not in known:
            raise FileError(
                f"{report.origin}: program {report.name!r} is in the manifest but not in the plan "
                "beside it: the two belong to different exports"
            )
        number = seen.get(key, 0)
        seen[key] = number + 1
        visits.append(
            VisitRecord(
                round=number,
                position=place,
                key=key,
                warm=(),
                series=tuple(round(value, 6) for value in report.series),
                seconds=max(1e-4, round(sum(report.series) / 1e3, 4)),
            )
        )
        if report.operations:
            placements[key] = placement(key, report.operations)
        elif report.compute_units in _OTHER_UNITS:
            placements[key] = Placement(key, {report.compute_units: 1})
    return visits, placements


def _imported_device(product: Product, plan: Plan, kind: tuple[str, str, str, str]) -> DeviceFile:
    tool, system, units, model = kind
    circumstances = {
        "processor": f"{product.chip} ({model})",
        "cores": "Neural Engine",
        "accelerator": "Neural Engine",
        "os": system or NOT_STATED,
        "runtime": f"coreml, {tool}",
        "compute_units": units or NOT_STATED,
        "loop": "warm",
        "precision": "fp16",
        "batch": "1",
        RESOLUTION: f"{plan.resolution} px",
    }
    return DeviceFile(
        device=product.device,
        title=product.title,
        kind="measured",
        circumstances=circumstances,
        protocol=PROTOCOL_VERSION,
        runtime=RuntimeSpec(RUNTIME, target=product.device),
    )
