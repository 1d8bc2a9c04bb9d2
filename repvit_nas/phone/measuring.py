"""A session on a Core ML device, and what its series make of the device's folder."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.device import (
    DEVICE_FILE,
    Device,
    DeviceFile,
    RuntimeSpec,
    differences,
)
from repvit_nas.latency_lut.importers import Imported
from repvit_nas.latency_lut.placement import (
    PLACEMENTS_FILE,
    Placement,
    gated_table,
    placement,
    read_placements,
    refused,
    write_placements,
)
from repvit_nas.latency_lut.plan import PLAN_FILE, Plan, programs
from repvit_nas.latency_lut.programs import Program
from repvit_nas.latency_lut.protocol import PROTOCOL_VERSION, SENTINELS
from repvit_nas.latency_lut.published import PUBLISHED_FILE
from repvit_nas.latency_lut.runners.coreml import CoreMlRunner
from repvit_nas.latency_lut.series import (
    NOT_STATED,
    SERIES_FOLDER,
    SOURCES_FILE,
    Series,
    Sources,
    combined,
    other_option,
    read_series,
    series_folder,
    series_name,
)
from repvit_nas.latency_lut.session import RESOLUTION, Progress, Session
from repvit_nas.latency_lut.store import OBSERVATIONS_FILE, VisitLog, VisitRecord
from repvit_nas.latency_lut.table import TABLE_FILE, Table, write_table
from repvit_nas.machine import machine
from repvit_nas.phone.exporting import Manifest, planned
from repvit_nas.phone.mac import RUN_HERE
from repvit_nas.phone.place import RefusedError
from repvit_nas.phone.products import ANY_MAC, PRODUCTS_FILE, Product, products
from repvit_nas.predictors.learning import FEWEST_NETWORKS, FEWEST_UNITS

RUNTIME: Final = "coreml"
# Rounds that a session usually takes until its intervals are narrow.
USUAL_ROUNDS: Final = 4
_FEWEST_HELD_OUT: Final = 2
# Operations that are named in a message.
_SHOWN: Final = 5
_SHOWN_OPERATIONS: Final = 5
# More programs than these, and than are taken, are not the programs' fault.
_FEW_NOT_TAKEN: Final = 3
# Compute units that leave the Neural Engine out: their latencies are not its.
_OTHER_UNITS: Final = ("CPU_ONLY", "CPU_AND_GPU")


class GatedSession(Session):
    """A session in which only programs on the Neural Engine count, unless all shall.

    Programs are converted before the round that times them, not between its visits.

    Args:
        folder: The series' folder.
        runner: Times programs.
        everywhere: Count programs too that did not run on the Neural Engine alone.
        passing: Go on where the device does not take a program; a later session asks it again.
    """

    def __init__(
        self,
        folder: Path,
        runner: CoreMlRunner,
        *,
        everywhere: bool = False,
        passing: bool = False,
    ) -> None:
        super().__init__(folder, runner)
        self._device = runner
        self._everywhere = everywhere
        self._passing = passing
        # What the device said of programs that it does not take, by key.
        self.not_taken: dict[str, str] = {}
        self._converted: set[str] = set()

    def table(self, plan: Plan) -> Table:
        """Return the table that the visits make so far, programs that do not count left out."""
        return gated_table(self.folder.name, plan, self.visits, frozenset(self._off()))

    def check_explored(self, plan: Plan) -> None:
        """Raise if so few programs ran on the Neural Engine that no fit can come of it.

        Raises:
            RepvitNasError: They are too few; it says which operations run elsewhere.
        """
        off = self._off()
        if not off:
            return
        table = self.table(plan)
        units, networks = len(table.units), len(table.networks("calibration"))
        if units >= FEWEST_UNITS and networks >= FEWEST_NETWORKS:
            return
        timed = {visit.key for visit in self.visits}
        raise RepvitNasError(
            f"{len(timed & off.keys())} of {len(timed)} programs do not run on the Neural Engine alone"
            f"{_operations(off.values())}, and {len(self.not_taken)} the device refuses: only {units} units and {networks} calibration networks "
            f"count, and a fit needs {FEWEST_UNITS} and {FEWEST_NETWORKS}; what was timed is kept in "
            f"{self.folder}: repeat with --any-placement to count all of it"
        )

    def _off(self) -> dict[str, Placement]:
        """Return the placements of the programs that do not count, by key."""
        if self._everywhere:
            return {}
        known = read_placements(self.folder / PLACEMENTS_FILE)
        return {key: known[key] for key in refused(known)}

    def _visit(self, program: Program, number: int, position: int) -> VisitRecord | None:
        if program.key in self.not_taken:
            return None
        before = len(self.visits)
        try:
            return super()._visit(program, number, position)
        except RefusedError as error:
            if len(self.visits) > before:
                return self.visits[-1]  # only its unloading was refused
            self.not_taken[program.key] = str(error)
            taken = len({visit.key for visit in self.visits})
            if not self._passing or len(self.not_taken) > max(_FEW_NOT_TAKEN, taken):
                raise
            return None

    def _prepare(self, timed: Iterable[Program], progress: Progress) -> None:
        new = [item for item in timed if item.key not in self._converted]
        if new:
            self._device.prepare_programs(new, progress)
        self._converted.update(item.key for item in new)


def _operations(placements: Iterable[Placement]) -> str:
    """Say which kinds of operations run elsewhere, in the most programs first; empty if unknown."""
    kinds = Counter(
        kind
        for item in placements
        for kind in {name.rstrip("0123456789").rstrip("_") for name in item.elsewhere}
    )
    names = [f"{kind} in {times}" for kind, times in kinds.most_common(_SHOWN_OPERATIONS)]
    return f" (elsewhere run {', '.join(names)})" if names else ""


def check_same_model(folder: Path, processor: str) -> None:
    """Raise if a device's folder holds the figures of another model: one name may stand for many.

    Args:
        folder: The device's folder.
        processor: The chip and model that is to be measured, as circumstances state it.

    Raises:
        RepvitNasError: It does.
    """
    for path in sorted(folder.glob(f"{SERIES_FOLDER}/*/{DEVICE_FILE}")):
        found = files.read_json(path, DeviceFile)
        there = found.circumstances.get("processor", "")
        if found.circumstances.get("runtime", "").startswith(RUN_HERE) and there != processor:
            raise RepvitNasError(
                f"{path.parent}: was measured on {there}, and this is {processor}: figures of two "
                f"models are never combined; give this one a name of its own in latency_lut/"
                f"{PRODUCTS_FILE}, or move {folder} elsewhere"
            )


def own_series(folder: Path, runner: CoreMlRunner, plan: Plan) -> Path:
    """Return the folder of the series that a runner's figures belong to.

    Another phone, another version of coremltools, or other options start another series; the one
    before stays, and is combined with it.

    Args:
        folder: The device's folder.
        runner: What times the device.
        plan: What is to be timed.
    """
    here = machine() | runner.circumstances() | {RESOLUTION: f"{plan.resolution} px"}
    return series_folder(folder, series_name(folder, runner.series(), here, plan))


def planned_otherwise(home: Path, runner: CoreMlRunner, plan: Plan) -> str:
    """Say which other series differs from a new one in its options alone; empty if none does.

    Args:
        home: The new series' folder.
        runner: What times the device.
        plan: What is to be timed.
    """
    if (home / DEVICE_FILE).is_file():
        return ""
    here = machine() | runner.circumstances() | {RESOLUTION: f"{plan.resolution} px"}
    for path in sorted(home.parent.glob(f"{runner.series()}*/{DEVICE_FILE}"), reverse=True):
        alike = not differences(files.read_json(path, DeviceFile).circumstances, here)
        option = other_option(path.parent, plan)
        if alike and option:
            return (
                f"series {path.parent.name} was planned with another {option}: it stays, "
                f"{home.name} is begun beside it, and both count; to go on with that one, stop this "
                "and give its options again"
            )
    return ""


def expected_minutes(plan: Plan, seconds: float) -> tuple[float, float]:
    """Return what one round and a usual session take on the phone, in minutes.

    Args:
        plan: What is timed; units that are chosen later are counted as those chosen so far.
        seconds: What one visit takes.
    """
    visits = len(programs(plan, 0)) + SENTINELS
    if not plan.explored and plan.units:
        visits = round(visits * plan.wanted / len(plan.units))
    one = visits * seconds / 60
    return one, USUAL_ROUNDS * one


class Published(NamedTuple):
    """What the series of a device make together.

    Attributes:
        device: The device with its folder; measured if the series suffice for that, and else
            modelled from what was published and the networks that were timed.
        sources: What each series gave.
        units: Units in the table.
        networks: Networks in the table.
    """

    device: Device
    sources: Sources
    units: int
    networks: int


def publish(
    product: Product, folder: Path, *, everywhere: bool = False, latest: str = ""
) -> Published:
    """Combine the series of a device into its table, and make it a measured device.

    Where the series do not suffice for that (too few units or networks), a modelled device stays
    modelled, and its next fit takes what was timed together with the published latencies: the
    units that were timed take the place of their modelled figures. A device that was measured before stays as it is. The circumstances of the device become
    those of the series that is taken as it is.

    Args:
        product: The device.
        folder: Its folder.
        everywhere: Count programs too that did not run on the Neural Engine alone.
        latest: The series that was measured just now, if one was.

    Raises:
        FileError: There is no series, or a file is not valid.
        RepvitNasError: The series do not suffice.
    """
    series = read_series(folder, product.device, everywhere=everywhere)
    table, sources = combined(series, meets=_suffices, latest=latest)
    held_out, calibration = len(table.networks("held_out")), len(table.networks("calibration"))
    files.write_json(folder / SOURCES_FILE, sources)
    known = _known(folder)
    networks = calibration + held_out
    if not _suffices(table):
        if (table.units or networks) and known is not None and known.file.kind == "modelled":
            write_table(folder / TABLE_FILE, table)
            return Published(known, sources, len(table.units), networks)
        raise RepvitNasError(
            f"{folder}: {len(table.units)} units, {calibration} calibration and {held_out} held-out "
            f"networks are known so far; a fit needs {FEWEST_UNITS}, {FEWEST_NETWORKS} and "
            f"{_FEWEST_HELD_OUT}: what is there is kept, and measure-lut or import-measurements adds "
            f"to it ({product.device} stays as it was){_without(series, sources)}"
        )
    first = next(one for one in series if one.name == sources.sources[0].series)
    file = msgspec.structs.replace(first.file, device=product.device, title=product.title)
    _copy_shipped(product.device, folder, PUBLISHED_FILE)  # one fit takes both
    write_table(folder / TABLE_FILE, table)
    files.write_json(folder / DEVICE_FILE, file)
    device = Device(data.Found(folder, shipped=False), file)
    return Published(device, sources, len(table.units), networks)


def _suffices(table: Table) -> bool:
    """Return whether a table makes a measured device."""
    return (
        len(table.units) >= FEWEST_UNITS
        and len(table.networks("calibration")) >= FEWEST_NETWORKS
        and len(table.networks("held_out")) >= _FEWEST_HELD_OUT
    )


def _without(series: list[Series], sources: Sources) -> str:
    """Say which programs and series were not counted; empty if all were."""
    said = ""
    left_out = sum(source.left_out for source in sources.sources)
    if left_out:
        used = {source.series for source in sources.sources}
        names = sorted({name for one in series if one.name in used for name in one.elsewhere})
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        said += (
            f"; {left_out} programs were timed but do not count, since they did not run on the Neural "
            f"Engine alone (elsewhere: {', '.join(names[:_SHOWN])}{more}); --any-placement counts them"
        )
    for one in sources.aside:
        said += f"; series {one.series} is left aside: {one.why}"
    return said


def _known(folder: Path) -> Device | None:
    """Return the device of a folder as it is; None if it is none yet."""
    path = folder / DEVICE_FILE
    if not path.is_file():
        return None
    return Device(data.Found(folder, shipped=False), files.read_json(path, DeviceFile))


def claim_folder(product: Product, folder: Path) -> None:
    """Copy what is shipped of a device into its new folder, which hides the shipped one from now on.

    Until its series suffice for a fit, the device is modelled as before.

    Args:
        product: The device.
        folder: Its folder in the working directory.
    """
    _copy_shipped(product.device, folder, DEVICE_FILE, PUBLISHED_FILE)


def _copy_shipped(device: str, folder: Path, *names: str) -> None:
    shipped = data.shipped_root() / "latency_lut" / device
    for name in names:
        if (shipped / name).is_file() and not (folder / name).exists():
            files.write_bytes(folder / name, files.read_bytes(shipped / name))


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
