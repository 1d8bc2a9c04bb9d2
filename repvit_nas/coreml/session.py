"""A session on a Core ML device, and what its series make of the device's folder."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from repvit_nas import files
from repvit_nas.coreml.mac import RUN_HERE
from repvit_nas.coreml.place import RefusedError
from repvit_nas.coreml.products import PRODUCTS_FILE
from repvit_nas.coreml.runner import CoreMlRunner
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import (
    DEVICE_FILE,
    DeviceFile,
    differences,
    of_the_table,
    read_device,
)
from repvit_nas.latency_lut.placement import (
    PLACEMENTS_FILE,
    Placement,
    gated_table,
    off_the_engine,
    read_placements,
)
from repvit_nas.latency_lut.plan import Plan, programs
from repvit_nas.latency_lut.series import SERIES_FOLDER, other_option, series_folder, series_name
from repvit_nas.latency_lut.table import Table
from repvit_nas.latency_lut.visits import Visit
from repvit_nas.machine import machine
from repvit_nas.measuring.protocol import SENTINELS
from repvit_nas.measuring.session import Session
from repvit_nas.predictors.fit_measured import FEWEST_NETWORKS, FEWEST_UNITS
from repvit_nas.programs import Program
from repvit_nas.words import Progress, number_of

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
        return {key: known[key] for key in off_the_engine(known)}

    def _visit(self, program: Program, number: int, position: int, *, part: bool) -> Visit | None:
        if program.key in self.not_taken:
            return None
        before = len(self.visits)
        try:
            return super()._visit(program, number, position, part=part)
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
        found = read_device(path, folder.name)
        there = found.circumstances.get("processor", "")
        if found.circumstances.get("runtime", "").startswith(RUN_HERE) and there != processor:
            raise RepvitNasError(
                f"{path.parent}: was measured on {there}, and this is {processor}: figures of two "
                f"models are never combined; give this one a name of its own in latency_lut/"
                f"{PRODUCTS_FILE}, or move {folder} elsewhere"
            )


def _circumstances(runner: CoreMlRunner, plan: Plan) -> dict[str, str]:
    return machine() | runner.circumstances() | of_the_table(plan.resolution, plan.output)


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
