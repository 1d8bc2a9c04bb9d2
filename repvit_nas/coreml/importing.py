"""Reports that others made of a device's programs, as series in the device's folder."""

import contextlib
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.coreml.exporting import Manifest, planned
from repvit_nas.coreml.importers.imported import Imported
from repvit_nas.coreml.naming import short_name
from repvit_nas.coreml.products import ANY_MAC, PRODUCTS_FILE, Product, products
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.device import (
    CORE_ML,
    DEVICE_FILE,
    DeviceFile,
    RuntimeSpec,
    of_the_table,
)
from repvit_nas.latency_lut.placement import (
    PLACEMENTS_FILE,
    Placement,
    off_the_engine,
    placement,
    placement_log,
    read_placements,
)
from repvit_nas.latency_lut.plan import PLAN_FILE, Plan
from repvit_nas.latency_lut.series import NOT_STATED, read_series, series_folder, series_name
from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
from repvit_nas.latency_lut.visits import Visit, VisitLog
from repvit_nas.predictors.plausible import check_like_predicted
from repvit_nas.predictors.predictor import Predictor, read_predictor
from repvit_nas.predictors.predictor_file import PREDICTOR_FILE
from repvit_nas.programs import Program

# Compute units that leave the Neural Engine out: their latencies are not its.
_OTHER_UNITS: Final = ("CPU_ONLY", "CPU_AND_GPU")


class ImportedPart(NamedTuple):
    """Reports of one tool, system, compute units and model: what becomes one series.

    Attributes:
        words: What the series is called.
        file: Its circumstances.
        visits: The reports as visits.
        placements: Where the programs ran, as far as the reports say.
    """

    words: str
    file: DeviceFile
    visits: list[Visit]
    placements: dict[str, Placement]


def as_timed(product: Product, reports: Sequence[Imported]) -> Product:
    """Return the device that reports are of: one of its own where another runtime than Core ML ran.

    Raises:
        FileError: They are of several runtimes.
    """
    runtimes = sorted({report.runtime for report in reports})
    if len(runtimes) > 1:
        raise FileError(
            f"reports must be of one runtime; got {', '.join(runtimes)}, which are never pooled: import "
            "each from a folder of its own"
        )
    (runtime,) = runtimes
    if runtime == CORE_ML:
        return product
    return msgspec.structs.replace(
        product, device=f"{product.device}-{runtime}", title=f"{product.title}, {runtime}"
    )


def checked_parts(
    product: Product,
    folder: Path,
    plan: Plan,
    manifest: Manifest,
    reports: list[Imported],
    *,
    unlike_predicted: bool = False,
    called: Callable[[str], bool] | None = None,
) -> list[ImportedPart]:
    """Return reports as what is written of them, one part for each series; nothing is written yet.

    Args:
        product: The device.
        folder: Its folder.
        plan: What was exported.
        manifest: The programs of that.
        reports: The reports.
        unlike_predicted: Take latencies too that are far from what the device's predictor says.
        called: Tells whether a name of a model is the device's; None for what the product says.

    Raises:
        FileError: A report is of a program that was not exported, of another device, or far from
            what is predicted; or a series that is there already is damaged.
    """
    read_series(folder, product.device)  # or the import would fail when it is half done
    named = {entry.name: entry.key for entry in manifest.programs}
    named |= {short_name(entry.name): entry.key for entry in manifest.programs}
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
        if report.model and not (called or product.is_called)(report.model):
            raise FileError(
                f"{report.origin}: was made on {report.model}, not on {product.title}; import it for "
                "that device"
            )
        kind = (report.tool, report.system, report.compute_units, _model(product, report.model))
        groups.setdefault(kind, []).append(report)
    predictor = None if unlike_predicted else _present_predictor(product.device)
    known = planned(plan)
    parts = []
    for (tool, system, units, model), group in groups.items():
        visits, placements = _visits(plan, group, named)
        if predictor is not None:
            off = off_the_engine(placements)  # what is predicted is not theirs
            ratios = [
                (report.name, _log_ratio(predictor, known[visit.key], visit))
                for report, visit in zip(group, visits, strict=True)
                if visit.key not in off
            ]
            check_like_predicted(f"reports of {tool}", predictor.device, ratios)
        words = [tool, system or "any-system", units or "any-units", _identity(plan)]
        if product.product_type == ANY_MAC and model != ANY_MAC:
            words.insert(0, model)
        file = _imported_device(product, plan, (tool, system, units, model), group[0].runtime)
        parts.append(
            ImportedPart("_".join(_word(word) for word in words), file, visits, placements)
        )
    return parts


def write_parts(
    folder: Path,
    plan: Plan,
    parts: list[ImportedPart],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Write parts of an import as series of a device.

    Where reports of the same plan were imported before, a program's new ones replace its old ones,
    and the other programs stay.

    Args:
        folder: The device's folder.
        plan: What was exported.
        parts: The parts.
        say: Told what an earlier import is replaced by.

    Returns:
        The names of the series.
    """
    names = []
    for part in parts:
        name = series_name(folder, part.words, part.file.circumstances)
        home = series_folder(folder, name)
        files.write_bytes(home / PLAN_FILE, files.encode_lines(plan, "units"))
        files.write_json(home / DEVICE_FILE, part.file)
        replaced = _add(home, part.visits, part.placements)
        if replaced:
            say(f"series {name}: {replaced}")
        names.append(name)
    return names


def _identity(plan: Plan) -> str:
    return files.digest(msgspec.json.encode(plan))[:8]


def _present_predictor(device: str) -> Predictor | None:
    """Return what a device's predictor is now; None if it has none, or none that can be read."""
    found = data.listed("predictors").get(device)
    if found is None or not (found.path / PREDICTOR_FILE).is_file():
        return None
    # One of older figures is near enough, and a damaged one is made anew by the import's fit.
    with contextlib.suppress(RepvitNasError):
        return read_predictor(found.path / PREDICTOR_FILE)
    return None


def _log_ratio(predictor: Predictor, program: Program, visit: Visit) -> float:
    """Return the logarithm of how many times as long as predicted a program took."""
    predicted = float(predictor.totals(Counter(program.sequence)).mean())
    return math.log(statistics.median(visit.samples) / predicted)


def _model(product: Product, called: str) -> str:
    """Return the model that a report is of: where a name stands for any Mac, the one it states."""
    if product.product_type != ANY_MAC or not called:
        return product.product_type
    known = (row for row in products().values() if row.product_type != ANY_MAC)
    return next((row.product_type for row in known if row.is_called(called)), called)


def _add(home: Path, visits: list[Visit], placements: dict[str, Placement]) -> str:
    """Write visits and placements into a series: those of a program replace what it had.

    Returns:
        How many programs were replaced and kept; empty for a new series.
    """
    new = {visit.key for visit in visits}
    log = VisitLog(home)
    before = log.read()
    kept = [visit for visit in before if visit.key not in new]
    where = {
        key: item for key, item in read_placements(home / PLACEMENTS_FILE).items() if key not in new
    }
    placement_log(home / PLACEMENTS_FILE).replace((where | placements).values())
    log.replace(
        msgspec.structs.replace(visit, position=place)
        for place, visit in enumerate((*kept, *visits))
    )
    there = {visit.key for visit in before}
    if not there:
        return ""
    return (
        f"programs that are new: {len(new - there)}; that replace what was there: "
        f"{len(new & there)}; kept as they were: {len(there - new)}"
    )


def _word(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in text.lower())


def _visits(
    plan: Plan, reports: list[Imported], named: dict[str, str]
) -> tuple[list[Visit], dict[str, Placement]]:
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
            Visit(
                round=number,
                position=place,
                key=key,
                warm=(),
                samples=tuple(round(value, 6) for value in report.samples),
                seconds=max(1e-4, round(sum(report.samples) / 1e3, 4)),
            )
        )
        if report.operations:
            placements[key] = placement(key, report.operations)
        elif report.compute_units in _OTHER_UNITS:
            placements[key] = Placement(key, {report.compute_units: 1})
    return visits, placements


def _imported_device(
    product: Product, plan: Plan, kind: tuple[str, str, str, str], runtime: str
) -> DeviceFile:
    tool, system, units, model = kind
    circumstances = {
        "processor": f"{product.chip} ({model})",
        "cores": "Neural Engine",
        "accelerator": "Neural Engine",
        "os": system or NOT_STATED,
        "runtime": f"{runtime}, {tool}",
        "compute_units": units or NOT_STATED,
        "loop": "warm",
        "precision": "fp16",
        "batch": "1",
        **of_the_table(plan.resolution, plan.output),
    }
    return DeviceFile(
        device=product.device,
        title=product.title,
        kind="measured",
        circumstances=circumstances,
        protocol=PROTOCOL_VERSION,
        runtime=RuntimeSpec(runtime, target=product.device),
    )
