"""A measuring session: rounds of visits into a device's folder, to be gone on with at any time."""

import functools
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from repvit_nas import data, files
from repvit_nas.architecture import LOGITS, OutputKind
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.device import (
    CACHES,
    DEVICE_FILE,
    Device,
    DeviceFile,
    RuntimeSpec,
    check_device_name,
    differences,
    of_the_machine,
    of_the_table,
    read_device,
)
from repvit_nas.latency_lut.plan import EXPLORING_ROUNDS, PLAN_FILE, Plan, parts_of, programs
from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
from repvit_nas.latency_lut.table import Table, build_table, interval_share
from repvit_nas.latency_lut.visits import Visit, VisitLog
from repvit_nas.machine import machine
from repvit_nas.measuring.caches import SWEPT, Sweep, make_sweep
from repvit_nas.measuring.protocol import Clock, order_of_round, undisturbed, visit
from repvit_nas.measuring.runners import Runner
from repvit_nas.programs import Program, network
from repvit_nas.units import tapped
from repvit_nas.words import Progress

if TYPE_CHECKING:
    from repvit_nas.units import Unit

# About how long a visit times calls; a lone unit, being a baseline only, is timed for less.
VISIT_MS: Final = 60.0
ISOLATED_MS: Final = 20.0
# Full rounds that the networks' precision does not end a session before.
_FEWEST_FULL: Final = 2
# Building the table takes seconds, and rounds of small programs not much longer: how precise it is
# gets looked at only once so much more was timed.
_LOOK_AFTER: Final = 0.1
# Visits after which the length of a round can be told.
_TELLING: Final = 40


class Limits(NamedTuple):
    """When a session ends.

    Attributes:
        minutes: Start no round that would end after so many minutes of visits, resumed ones
            included.
        precision: End when half the width of the networks' 90 % intervals is below this share.
    """

    minutes: float
    precision: float


class Session:
    """Measures into one device's folder; the caller holds the folder (see `latency_lut.visits.hold`)."""

    def __init__(self, folder: Path, runner: Runner, *, clock: Clock = time.perf_counter) -> None:
        self.folder = folder
        self.log = VisitLog(folder)
        self._runner = runner
        self._clock = clock
        self._prepared: set[Unit] = set()
        self.visits = self.log.open()

    @functools.cached_property
    def _sweep(self) -> Sweep:
        """What is read before calls of parts; a session of networks alone needs none."""
        return make_sweep()

    def claim(
        self,
        device: str,
        title: str,
        spec: RuntimeSpec,
        resolution: int,
        output: OutputKind = LOGITS,
    ) -> DeviceFile:
        """Make the folder this device's, or make sure that it is.

        Args:
            device: The device's name.
            title: The name people use; empty for processor and runtime.
            spec: What runs the programs.
            resolution: Input side in pixels of the networks whose units are timed.
            output: What the networks hand back that are timed.

        Raises:
            RepvitNasError: It holds another device's figures, or figures of another machine,
                runtime or protocol.
        """
        here = machine() | self._runner.circumstances() | of_the_table(resolution, output)
        here |= {CACHES: SWEPT} if self._runner.on_caches else {}
        wanted = DeviceFile(
            device=check_device_name(device),
            title=title or f"{here['processor']}, {here['runtime']}",
            kind="measured",
            circumstances=here,
            protocol=PROTOCOL_VERSION,
            runtime=spec,
        )
        path = self.folder / DEVICE_FILE
        if not path.is_file():
            if self.visits:
                raise RepvitNasError(
                    f"{path}: is missing, but {self.log.path.name} beside it holds visits, and nobody "
                    f"knows whose; move {self.folder} elsewhere, or choose another --device name"
                )
            files.write_json(path, wanted)
            return wanted
        found = read_device(path, device)
        elsewhere = f"choose another --device name, or move {self.folder} elsewhere"
        if found.kind != "measured":
            raise RepvitNasError(
                f"{path}: device {device!r} is modelled from latencies of whole networks, not measured "
                f"on this machine; {elsewhere}"
            )
        if found.protocol != PROTOCOL_VERSION:
            raise RepvitNasError(
                f"{path}: was measured by protocol {found.protocol}, this version's is "
                f"{PROTOCOL_VERSION}; {elsewhere}"
            )
        different = differences(found.circumstances, here)
        if different:
            raise RepvitNasError(
                f"{path}: was measured under other circumstances, which are never merged: "
                f"{'; '.join(different)}; {elsewhere}"
            )
        return found

    def same_machine(self, device: Device) -> None:
        """Raise unless a device's figures were made under the circumstances of this machine.

        Raises:
            RepvitNasError: They were not; the message names each difference.
        """
        here = machine() | self._runner.circumstances()
        there = of_the_machine(device.file.circumstances)
        different = differences(there, here)
        if different:
            spec = device.file.runtime
            raise RepvitNasError(
                f"device {device.name!r} was measured under other circumstances: "
                f"{'; '.join(different)}; "
                + (
                    "measure it as it is here with repvit-nas measure-lut --device "
                    f"{device.name}, which begins a series of its own"
                    if spec is not None and spec.is_core_ml
                    else "measure this machine with repvit-nas measure-lut --device NAME"
                )
            )

    def plan(self, wanted: Plan) -> Plan:
        """Return the folder's plan, which has gone on from `wanted`, or keep that one.

        Where more is wanted than the folder's plan asks for, that one is extended: what was timed
        counts.

        Raises:
            RepvitNasError: The folder's plan is for other options, or for more.
        """
        path = self.folder / PLAN_FILE
        if not path.is_file():
            self.keep(wanted)
            return wanted
        found = files.read_json(path, Plan)
        begun = max((item.round + 1 for item in self.visits), default=0)
        if not begun:
            self.keep(wanted)
            return wanted
        try:
            extended = found.extended(wanted, begun)
        except RepvitNasError as error:
            raise RepvitNasError(
                f"{path}: {error}; give the same options, or more, to go on, or choose another "
                "--device name"
            ) from error
        if extended != found:
            self.keep(extended)
        return extended

    def keep(self, plan: Plan) -> None:
        """Write the plan."""
        files.write_bytes(self.folder / PLAN_FILE, files.encode_lines(plan, "units"))

    def table(self, plan: Plan) -> Table:
        """Return the table that the visits make so far."""
        return build_table(self.folder.name, plan, self.visits)

    def check_explored(self, plan: Plan) -> None:
        """Raise if the first round shows that no fit can come of the session; here it always can."""

    @property
    def minutes(self) -> float:
        """Minutes of visits so far, earlier runs included."""
        return sum(item.seconds for item in self.visits) / 60

    def explore(self, plan: Plan, limits: Limits, progress: Progress) -> None:
        """Run the rounds after which the remaining units are chosen.

        Raises:
            RepvitNasError: The time is too short for these and one full round.
        """
        for number in range(EXPLORING_ROUNDS):
            self._round(plan, number, limits, progress)

    def rounds(self, plan: Plan, limits: Limits, progress: Progress) -> None:
        """Run full rounds until the limits are reached: two, unless there is time for one only.

        One round says nothing of how well the units that were chosen after the first one repeat.

        Raises:
            RepvitNasError: The time is too short for one full round.
        """
        number = EXPLORING_ROUNDS
        look_at = 0.0
        while True:
            self._round(plan, number, limits, progress)
            number += 1
            full = number - max(EXPLORING_ROUNDS, plan.since)
            if full < 1 or any(item.round >= number for item in self.visits):
                continue
            minutes = self.minutes
            if minutes + self._expected_minutes(plan, number) > limits.minutes:
                return
            if full >= _FEWEST_FULL and minutes >= look_at:
                look_at = minutes * (1 + _LOOK_AFTER)
                table = self.table(plan)
                if interval_share(table) <= limits.precision:
                    return

    def _expected_minutes(self, plan: Plan, number: int) -> float:
        """Return what a round will take, from what its programs took before."""
        latest = {item.key: item.seconds for item in self.visits}
        usual = sum(latest.values()) / max(1, len(latest))
        return sum(latest.get(key, usual) for key in programs(plan, number)) / 60

    def _round(self, plan: Plan, number: int, limits: Limits, progress: Progress) -> None:
        timed = programs(plan, number)
        sentinel = network(plan.sentinel)
        timed.pop(sentinel.key, None)
        parts = parts_of(plan)
        order = order_of_round(list(timed), sentinel.key, number, plan.seed)
        timed[sentinel.key] = sentinel
        self._prepare(timed.values(), progress)
        done = {item.position: item.key for item in self.visits if item.round == number}
        spent = sum(item.seconds for item in self.visits if item.round == number)
        with undisturbed():
            for position, key in enumerate(order):
                progress(f"round {number + 1}", position, len(order))
                if position in done:
                    self._check_place(done[position], key, number, position)
                    continue
                record = self._visit(timed[key], number, position, part=key in parts)
                if record is None:
                    continue
                spent += record.seconds
                if number <= max(EXPLORING_ROUNDS, plan.since):
                    self._check_time(spent, position + 1, len(order), number, limits)

    def _check_place(self, found: str, planned: str, number: int, position: int) -> None:
        if found != planned:
            raise FileError(
                f"{self.log.path}: round {number}, position {position} is another program than the "
                f"plan's; the plan was changed: remove {self.folder}"
            )

    def _prepare(self, timed: Iterable[Program], progress: Progress) -> None:
        units = dict.fromkeys(unit for program in timed for unit in tapped(program.sequence)[0])
        new = [unit for unit in units if unit not in self._prepared]
        for place, unit in enumerate(new):
            progress("preparing units", place, len(new))
            self._runner.prepare(unit)
        self._prepared.update(new)

    def _check_time(
        self, spent: float, done: int, visits: int, number: int, limits: Limits
    ) -> None:
        """Fail as soon as it is clear that the time is not enough for one full round."""
        if done < min(_TELLING, visits):
            return
        rest = spent / done * (visits - done) / 60
        # The first round holds half of the units only.
        later = spent / done * visits / 60 if number < EXPLORING_ROUNDS else 0.0
        needed = self.minutes + rest + later
        if needed > 1.2 * limits.minutes:
            raise RepvitNasError(
                f"--minutes {limits.minutes:g} is too short for one full round: give it at least "
                f"{math.ceil(needed + 0.5)}, or time less"
            )

    def _visit(self, program: Program, number: int, position: int, *, part: bool) -> Visit | None:
        """Time a program once, one that stands for a part of networks as among the rest of one.

        Returns:
            What it took; None where it is passed over.
        """
        start = self._clock()
        target = ISOLATED_MS if program.units[0][1] == 1 == len(program.units) else VISIT_MS
        timed = None
        try:
            with self._runner.load(program) as calls:
                if part and self._runner.on_caches:
                    sweep = self._sweep
                    timed = visit(sweep.before(calls), target, beside_ms=sweep.milliseconds)
                else:
                    timed = visit(calls, target)
        finally:
            if timed is not None:  # where only unloading failed too
                warm, samples = timed
                record = Visit(
                    round=number,
                    position=position,
                    key=program.key,
                    warm=tuple(_rounded(value) for value in warm),
                    samples=tuple(_rounded(value) for value in samples),
                    seconds=round(max(self._clock() - start, 1e-4), 4),
                )
                self.log.append(record)
                self.visits.append(record)
        return record


def _rounded(milliseconds: float) -> float:
    """Round to a nanosecond's thousandth part of a millisecond: what clocks resolve."""
    return max(round(milliseconds, 5), 1e-5)


def device_folder(device: str) -> Path:
    """Return the folder that a device is measured into: in the working directory.

    Raises:
        RepvitNasError: The name belongs to a modelled device that is shipped.
    """
    check_device_name(device)
    found = data.listed("latency_lut").get(device)
    path = Path("latency_lut") / device
    if found is not None and (found.path / DEVICE_FILE).is_file():
        known = read_device(found.path / DEVICE_FILE, device)
        if known.kind == "modelled":
            raise RepvitNasError(
                f"device {device!r} ({known.title}) is modelled from latencies of whole networks and "
                "cannot be timed on this machine; choose another --device name, such as cpu"
            )
    return path
