"""A session on a Core ML device, and what its series make of the device's folder."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from repvit_nas import data, files
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import (
    DEVICE_FILE,
    Device,
    DeviceFile,
    differences,
)
from repvit_nas.latency_lut.placement import (
    PLACEMENTS_FILE,
    Placement,
    gated_table,
    read_placements,
    refused,
)
from repvit_nas.latency_lut.plan import Plan, programs
from repvit_nas.latency_lut.programs import Program
from repvit_nas.latency_lut.protocol import SENTINELS
from repvit_nas.latency_lut.published import PUBLISHED_FILE
from repvit_nas.latency_lut.runners.coreml import CoreMlRunner
from repvit_nas.latency_lut.series import (
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
from repvit_nas.latency_lut.store import OBSERVATIONS_FILE, VisitRecord
from repvit_nas.latency_lut.table import TABLE_FILE, Table, write_table
from repvit_nas.machine import machine
from repvit_nas.phone.mac import RUN_HERE
from repvit_nas.phone.place import RefusedError
from repvit_nas.phone.products import PRODUCTS_FILE, Product
from repvit_nas.predictors.learning import FEWEST_NETWORKS, FEWEST_UNITS
from repvit_nas.words import number_of

RUNTIME: Final = "coreml"
# Rounds that a session usually takes until its intervals are narrow.
USUAL_ROUNDS: Final = 4
_FEWEST_HELD_OUT: Final = 2
# Operations that are named in a message.
_SHOWN: Final = 5
# More programs than these, and than are taken, are not the programs' fault.
_FEW_NOT_TAKEN: Final = 3


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
            f"{len(timed & off.keys())} of {len(timed)} programs do not run on the Neural Engine "
            f"alone{_operations(off.values())}, and {len(self.not_taken)} the device refuses: only "
            f"{number_of(units, 'unit')} and {number_of(networks, 'calibration network')} count, and a "
            "fit needs "
            f"{FEWEST_UNITS} and {FEWEST_NETWORKS}; what was timed is kept in {self.folder}: repeat "
            "with --any-placement to count all of it"
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
    names = [f"{kind} in {times}" for kind, times in kinds.most_common(_SHOWN)]
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


def _circumstances(runner: CoreMlRunner, plan: Plan) -> dict[str, str]:
    return machine() | runner.circumstances() | {RESOLUTION: f"{plan.resolution} px"}


def own_series(folder: Path, runner: CoreMlRunner, plan: Plan) -> Path:
    """Return the folder of the series that a runner's figures belong to.

    Another phone, another version of coremltools, or other options start another series; the one
    before stays, and is combined with it.

    Args:
        folder: The device's folder.
        runner: What times the device.
        plan: What is to be timed.
    """
    here = _circumstances(runner, plan)
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
    here = _circumstances(runner, plan)
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
        unresolved: Units that were timed, but cost no more than their error.
    """

    device: Device
    sources: Sources
    units: int
    networks: int
    unresolved: int = 0


def publish(
    product: Product, folder: Path, *, everywhere: bool = False, latest: str = ""
) -> Published:
    """Combine the series of a device into its table, and make it a measured device.

    Where the series do not suffice for that (too few units or networks), a modelled device stays
    modelled, and its next fit takes what was timed together with the published latencies: the
    units that were timed take the place of their modelled figures. A device that was measured
    before stays as it is. The circumstances of the device become those of the series that is taken
    as it is.

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
    known = _known(folder)
    networks = calibration + held_out
    if not _suffices(table):
        if known is not None and known.file.kind == "modelled":
            write_table(folder / TABLE_FILE, table)
            files.write_json(folder / SOURCES_FILE, sources)
            return Published(known, sources, len(table.units), networks, len(table.unresolved))
        raise RepvitNasError(
            f"{folder}: {number_of(len(table.units), 'unit')}, {calibration} calibration and "
            f"{held_out} held-out networks are known so far; a fit needs {FEWEST_UNITS}, {FEWEST_NETWORKS} and "
            f"{_FEWEST_HELD_OUT}: what is there is kept, and measure-lut or import-measurements adds "
            f"to it ({product.device} stays as it was){unresolved_words(len(table.unresolved))}"
            f"{_without(series, sources)}"
        )
    first = next(one for one in series if one.name == sources.sources[0].series)
    file = msgspec.structs.replace(first.file, device=product.device, title=product.title)
    _copy_shipped(product.device, folder, PUBLISHED_FILE)  # one fit takes both
    write_table(folder / TABLE_FILE, table)
    files.write_json(folder / DEVICE_FILE, file)
    files.write_json(folder / SOURCES_FILE, sources)
    device = Device(data.Found(folder, shipped=False), file)
    return Published(device, sources, len(table.units), networks, len(table.unresolved))


def _suffices(table: Table) -> bool:
    """Return whether a table makes a measured device."""
    return (
        len(table.units) >= FEWEST_UNITS
        and len(table.networks("calibration")) >= FEWEST_NETWORKS
        and len(table.networks("held_out")) >= _FEWEST_HELD_OUT
    )


def unresolved_words(number: int) -> str:
    """Say how many units were timed and do not count; empty if there are none."""
    if not number:
        return ""
    return (
        f"; {number_of(number, 'unit')} more cost no more than their error, which more rounds lower"
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
            f"; {number_of(left_out, 'program')} timed but not counted: not on the Neural Engine alone "
            f"(elsewhere: {', '.join(names[:_SHOWN])}{more}); --any-placement counts them"
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


def moved_away(folder: Path) -> list[str]:
    """Return the series that a device's table was made of, and whose folders are gone since.

    Args:
        folder: The device's folder.

    Raises:
        FileError: Its `sources.json` is not valid.
    """
    path = folder / SOURCES_FILE
    if not path.is_file():
        return []
    return [
        source.series
        for source in files.read_json(path, Sources).sources
        if not (series_folder(folder, source.series) / OBSERVATIONS_FILE).is_file()
    ]


def take_back(product: Product, folder: Path) -> bool:
    """Make a device's folder ready to be published from the series that are left.

    Where latencies of the device are shipped, it is modelled by these again until the series
    suffice without the one that was moved away.

    Args:
        product: The device.
        folder: Its folder.

    Returns:
        Whether programs counted so far that did not run on the Neural Engine alone.

    Raises:
        FileError: A file is not valid.
        RepvitNasError: No series is left.
    """
    series = read_series(folder, product.device)
    if not series:
        raise RepvitNasError(
            f"{folder / SERIES_FOLDER}: no series is left of those that {TABLE_FILE} was made of: "
            f"import or measure one, or move {folder} and predictors/{product.device} elsewhere to "
            "have the device as it is shipped"
        )
    before = {one.series: one for one in files.read_json(folder / SOURCES_FILE, Sources).sources}
    shipped = data.shipped_root() / "latency_lut" / product.device / DEVICE_FILE
    if shipped.is_file():
        files.write_bytes(folder / DEVICE_FILE, files.read_bytes(shipped))
    return any(
        one.left_out and one.name in before and not before[one.name].left_out for one in series
    )


def _copy_shipped(device: str, folder: Path, *names: str) -> None:
    shipped = data.shipped_root() / "latency_lut" / device
    for name in names:
        if (shipped / name).is_file() and not (folder / name).exists():
            files.write_bytes(folder / name, files.read_bytes(shipped / name))
