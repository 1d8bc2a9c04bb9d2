"""Core ML on an iPhone or iPad: programs run in Apple's ModelRunner app, driven from a Mac."""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import msgspec

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.latency_lut.placement import (
    Placement,
    placement,
    read_placements,
    write_placements,
)
from repvit_nas.latency_lut.programs import Program, chain
from repvit_nas.latency_lut.protocol import Calls
from repvit_nas.phone.app import Phone
from repvit_nas.phone.client import COMPUTE_UNITS
from repvit_nas.phone.naming import program_name
from repvit_nas.phone.products import Product
from repvit_nas.phone.xcrun import COPY, tool
from repvit_nas.units import Ffn, Unit

INPUT: Final = "image"
# One message runs so many calls, the first of them untimed: what a visit asks for comes out of that
# series call by call, so the protocol sees the device's own order without a message for each.
WARM_UP: Final = 8
LOOP: Final = 72
# The stock app runs one cold call a message, seconds apart: no visit gets more than this at once.
COLD_CALLS: Final = 4
_PROBE: Final = Ffn(16, 32, 8)

Writer = Callable[[Program, Path], object]
Shape = Callable[[Unit], tuple[int, int, int]]


class Probe(NamedTuple):
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
        product: The device.
        phone: The app on it, started.
        packages: Where converted and compiled programs are kept.
        placements: Where to write where programs ran; None keeps that nowhere.
        writer: Writes a program's package.
        shape: Of a unit's input.
    """

    def __init__(
        self,
        product: Product,
        phone: Phone,
        packages: Path,
        *,
        placements: Path | None = None,
        writer: Writer | None = None,
        shape: Shape | None = None,
    ) -> None:
        self._product = product
        self._phone = phone
        self._packages = packages
        self._placements: Path | None = None
        self._known: dict[str, Placement] = {}
        if placements is not None:
            self.keep_placements(placements)
        self._write = writer or _convert
        self._shape = shape or _input_shape
        self.probe = self._probed()

    def circumstances(self) -> dict[str, str]:
        """Return device, system, runtime and what latencies depend on; no serial number, no name."""
        device = self._phone.device
        return {
            "processor": f"{self._product.chip} ({device.product_type})",
            "cores": "Neural Engine",
            "accelerator": "Neural Engine",
            "os": f"{device.family} OS {device.system} ({device.build})",
            "runtime": f"coreml ModelRunner, coremltools {_version('coremltools')}",
            "compute_units": COMPUTE_UNITS,
            "loop": "warm" if self.probe.warm else "cold",
            "threads": "Core ML's",
            "precision": "fp16",
            "batch": "1",
        }

    def series(self) -> str:
        """Return the name of the series that figures belong to: one model, system build and loop."""
        device = self._phone.device
        kind = device.product_type.lower().replace(",", "-")
        return f"{kind}_{device.build.lower()}_{'warm' if self.probe.warm else 'cold'}"

    def keep_placements(self, path: Path) -> None:
        """Write from now on where programs ran to `path`, and go on with what it holds."""
        self._placements = path
        self._known = read_placements(path)
        if path.is_file():
            write_placements(path, self._known)  # without a line that was torn

    def prepare(self, unit: Unit) -> None:
        """Nothing: packages are written and checked program by program."""

    @contextmanager
    def load(self, program: Program) -> Iterator[Calls]:
        """Load a program on the device; unload it in the end."""
        compiled = self._compiled(program)
        client = self._phone.for_next_load()
        model, _ = client.load(compiled)
        if self._placements is not None and program.key not in self._known:
            self._keep(placement(program.key, client.plan(model)))
        shape = (1, *self._shape(program.sequence[0]))
        waiting: list[float] = []

        def calls(count: int) -> list[float]:
            while len(waiting) < count:
                more, warm = client.predict(model, INPUT, shape, warm_up=WARM_UP, calls=LOOP)
                self._check_loop(warm=warm)
                waiting.extend(more)
                if not warm and len(waiting) >= COLD_CALLS:
                    break
            given = waiting[:count]
            del waiting[: len(given)]
            return given

        yield calls
        # Not after an error: a device that is gone, or an app that died, has unloaded it.
        client.unload(model)

    def _check_loop(self, *, warm: bool) -> None:
        if warm != self.probe.warm:
            raise RepvitNasError(
                "the runner app changed between warm loops and cold calls, which are never mixed; "
                "repeat the command"
            )

    def _probed(self) -> Probe:
        """Run one small program, to see whether the app runs loops and what a visit takes."""
        timed = chain(_PROBE, 1)
        compiled = self._compiled(timed)
        client = self._phone.client()
        start = perf_counter()
        model, _ = client.load(compiled)
        shape = (1, *self._shape(_PROBE))
        _, warm = client.predict(model, INPUT, shape, warm_up=1, calls=2)
        client.unload(model)
        return Probe(warm, perf_counter() - start)

    def _compiled(self, program: Program) -> Path:
        """Return the compiled program, converted and compiled now if it is new."""
        stem = program_name(program)
        compiled = self._packages / f"{stem}.mlmodelc"
        if compiled.is_dir():
            return compiled
        package = self._packages / f"{stem}.mlpackage"
        if not package.is_dir():
            self._write(program, package)
        with tempfile.TemporaryDirectory(dir=self._packages, prefix=".compiling.") as beside:
            tool(self._phone.apple, ["coremlcompiler", "compile", str(package), beside], COPY)
            made = Path(beside) / compiled.name
            if not made.is_dir():
                raise RepvitNasError(f"xcrun coremlcompiler made no {compiled.name} of {package}")
            shutil.move(made, compiled)
        return compiled

    def _keep(self, found: Placement) -> None:
        self._known[found.key] = found
        if self._placements is not None:
            with self._placements.open("ab") as file:
                file.write(msgspec.json.encode(found) + b"\n")


def _convert(program: Program, package: Path) -> None:
    from repvit_nas.export.coreml import write_program

    write_program(program, package)
    gc.collect()  # it rests during rounds, and a conversion leaves much behind


def _input_shape(unit: Unit) -> tuple[int, int, int]:
    from repvit_nas.network.pieces import input_shape

    return input_shape(unit)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def make(spec: RuntimeSpec) -> CoreMlRunner:
    """Return a runner for the device that `spec.target` names, its app started.

    Raises:
        RepvitNasError: It is no Core ML device, none is connected, or it is not ready.
    """
    import atexit

    from repvit_nas.phone.opening import open_phone
    from repvit_nas.phone.products import product, products

    found = product(spec.target)
    if found is None:
        raise RepvitNasError(
            f"runtime coreml needs a Core ML device; {spec.target!r} is none; known: "
            f"{', '.join(products())}"
        )
    folder = Path(tempfile.mkdtemp(prefix="repvit-nas-"))
    phone = open_phone(
        found,
        Path("latency_lut") / found.device,
        team=os.environ.get("REPVIT_NAS_TEAM", ""),
        udid=os.environ.get("REPVIT_NAS_UDID", ""),
    )
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(phone.stop)
    return CoreMlRunner(found, phone, folder)
