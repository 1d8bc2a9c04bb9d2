"""Core ML: programs run on an iPhone or iPad, driven from a Mac, or on the Mac itself."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from repvit_nas.conversion.package import SUFFIX
from repvit_nas.coreml.client import COMPUTE_UNITS
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.place import CoreMlPlace, RefusedError
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.latency_lut.placement import (
    REFUSED,
    Placement,
    placement,
    placement_log,
)
from repvit_nas.measuring.protocol import Calls
from repvit_nas.programs import Program, chain
from repvit_nas.units import Ffn, Unit
from repvit_nas.words import Progress, Say

if TYPE_CHECKING:
    from repvit_nas.lines import LineLog

# One loop runs so many calls, the first of them untimed: what a visit asks for comes out of that
# series call by call, so the protocol sees the device's own order without a message for each.
WARM_UP: Final = 8
LOOP: Final = 72
# The stock app runs one cold call a message, seconds apart: no visit gets more than this at once.
COLD_CALLS: Final = 4
# Two calls at least show that it is steady; those that are timed come after them.
_COLD_MESSAGES: Final = 2 + COLD_CALLS
_PROBE: Final = Ffn(16, 32, 8)

# Writes the packages of programs into a folder.
Writer = Callable[[Path, Sequence[Program], Progress], object]
Shape = Callable[[Unit], tuple[int, int, int]]


class ProbeRun(NamedTuple):
    """What a first prediction says of a device and its app.

    Attributes:
        warm: Whether the app runs loops.
        seconds: What a visit takes, all copies included.
    """

    warm: bool
    seconds: float


class CoreMlRunner:
    """Times programs on a device.

    Args:
        place: The device, ready.
        packages: Where converted and compiled programs are kept; made if it is not there.
        placements: Where to write where programs ran; None keeps that nowhere.
        writer: Writes packages.
        shape: Of a unit's input.
        clock: Seconds, by which a first visit is timed.
    """

    # The Neural Engine streams weights; nobody but the device itself could read memory between its calls.
    on_caches = False

    def __init__(
        self,
        place: CoreMlPlace,
        packages: Path,
        *,
        placements: Path | None = None,
        writer: Writer | None = None,
        shape: Shape | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._place = place
        self._packages = packages
        packages.mkdir(parents=True, exist_ok=True)
        self._placements: LineLog[Placement] | None = None
        self._known: dict[str, Placement] = {}
        if placements is not None:
            self.keep_placements(placements)
        self._write = writer or write_packages
        self._shape = shape or _input_shape
        self.probe = self._probed(clock)

    def circumstances(self) -> dict[str, str]:
        """Return device, system, runtime and what latencies depend on; no serial number, no name."""
        own = {"phone": self._place.which} if self._place.which else {}
        return own | {
            "processor": f"{self._place.chip} ({self._place.model})",
            "cores": "Neural Engine",
            "accelerator": "Neural Engine",
            "os": self._place.system,
            "runtime": self._place.runtime,
            "compute_units": COMPUTE_UNITS,
            "loop": "warm" if self.probe.warm else "cold",
            "threads": "Core ML's",
            "precision": "fp16",
            "batch": "1",
        }

    def series(self) -> str:
        """Return the name of the series that figures belong to: one model, system build and loop."""
        kind = self._place.model.lower().replace(",", "-")
        return f"{kind}_{self._place.build.lower()}_{'warm' if self.probe.warm else 'cold'}"

    def keep_placements(self, path: Path) -> None:
        """Write from now on where programs ran to `path`, and go on with what it holds."""
        self._placements = placement_log(path)
        self._placements.mend()
        self._known = {item.key: item for item in self._placements.read()}

    def prepare(self, unit: Unit) -> None:
        """Nothing: packages are written and checked program by program."""

    def prepare_programs(self, timed: Iterable[Program], progress: Progress) -> None:
        """Convert and compile programs, so that the device is not kept waiting between visits."""
        wanted = list(timed)
        self._write(self._packages, wanted, progress)
        for done, program in enumerate(wanted):
            self._place.compiled(self._package(program))
            progress("compiling", done + 1, len(wanted))

    def close(self) -> None:
        """Leave nothing behind on the device."""
        self._place.stop()

    @contextmanager
    def load(self, program: Program) -> Iterator[Calls]:
        """Load a program on the device; unload it in the end.

        Raises:
            RefusedError: The device does not take it; it is noted where placements are kept.
        """
        try:
            with self._loaded(program) as calls:
                yield calls
        except RefusedError as error:
            if program.key not in self._known:
                self._keep(Placement(program.key, {REFUSED: 1}))
            raise RefusedError(f"{program_name(program)}: {error}") from error

    @contextmanager
    def _loaded(self, program: Program) -> Iterator[Calls]:
        loaded = self._place.load(self._compiled(program))
        known = self._known.get(program.key)
        if self._placements is not None and (known is None or REFUSED in known.preferred):
            self._keep(placement(program.key, loaded.plan()))
        shape = (1, *self._shape(program.sequence[0]))
        waiting: list[float] = []

        def calls(count: int) -> list[float]:
            while len(waiting) < count:
                more, warm = loaded.predict(shape, warm_up=WARM_UP, calls=LOOP)
                self._check_loop(warm=warm)
                waiting.extend(more)
                if not warm and len(waiting) >= COLD_CALLS:
                    break
            given = waiting[:count]
            del waiting[: len(given)]
            return given

        yield calls
        # Not after an error: a device that is gone, or an app that died, has unloaded it.
        loaded.unload()

    def _check_loop(self, *, warm: bool) -> None:
        if warm != self.probe.warm:
            raise RepvitNasError(
                "the runner app changed between warm loops and cold calls, which are never mixed; "
                "repeat the command"
            )

    def _probed(self, clock: Callable[[], float]) -> ProbeRun:
        """Run one small program, to see whether the app runs loops and what a visit takes."""
        compiled = self._compiled(chain(_PROBE, 1))
        start = clock()
        loaded = self._place.load(compiled)
        asked = clock()
        _, warm = loaded.predict((1, *self._shape(_PROBE)), warm_up=1, calls=2)
        answered = clock()
        loaded.unload()
        seconds = clock() - start
        if not warm:
            seconds += (_COLD_MESSAGES - 1) * (answered - asked)
        return ProbeRun(warm, seconds)

    def _package(self, program: Program) -> Path:
        return self._packages / f"{program_name(program)}{SUFFIX}"

    def _compiled(self, program: Program) -> Path:
        """Return what the device loads, converted and compiled now if it is new."""
        package = self._package(program)
        if not package.is_dir():
            self._write(self._packages, [program], lambda *_: None)
        return self._place.compiled(package)

    def _keep(self, found: Placement) -> None:
        self._known[found.key] = found
        if self._placements is not None:
            self._placements.append(found)


def write_packages(folder: Path, timed: Sequence[Program], progress: Progress) -> None:
    """Convert and check programs as an export does; those that are there are only looked at."""
    from repvit_nas.coreml.exporting import convert

    convert(folder, timed, progress=progress)


def _input_shape(unit: Unit) -> tuple[int, int, int]:
    from repvit_nas.network.pieces import input_shape

    return input_shape(unit)


def open_device(
    spec: RuntimeSpec, *, team: str, udid: str = "", say: Say = lambda _: None
) -> CoreMlRunner:
    """Return a runner for the device that `spec.target` names; the caller closes it.

    Packages are kept in the device's folder, where a measuring session keeps them too.

    Args:
        spec: What times the device.
        team: Identifier of the team that signs a phone's app.
        udid: Which of several phones.
        say: Told what is being done.

    Raises:
        RepvitNasError: It is no Core ML device, none is connected, or it is not ready.
    """
    from repvit_nas.coreml.opening import PACKAGES_FOLDER, check_driven, open_place
    from repvit_nas.coreml.products import product, products

    found = product(spec.target)
    if found is None:
        raise RepvitNasError(
            f"runtime coreml needs a Core ML device; {spec.target!r} is none; known: "
            f"{', '.join(products())}"
        )
    check_driven(found)
    folder = Path("latency_lut") / found.device
    place = open_place(found, folder, team=team, udid=udid, say=say)
    try:
        return CoreMlRunner(place, folder / PACKAGES_FOLDER)
    except BaseException:
        place.stop()
        raise
