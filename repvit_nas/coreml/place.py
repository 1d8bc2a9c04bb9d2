"""What a Core ML device must be able to do, whether it is on the cable or the Mac that this runs on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from repvit_nas.errors import RepvitNasError


class RefusedError(RepvitNasError):
    """A device that is well answered that it does not take a program."""


class LoadedProgram(Protocol):
    """A program, loaded on a device."""

    def plan(self) -> list[tuple[str, str, float | None]]:
        """Return name, preferred processor and cost of each operation."""
        ...

    def predict(
        self, shape: Sequence[int], *, warm_up: int, calls: int
    ) -> tuple[list[float], bool]:
        """Run it; return milliseconds of the timed calls, and whether they are of one warm loop."""
        ...

    def unload(self) -> None:
        """Free what it holds on the device."""
        ...


class CoreMlPlace(Protocol):
    """A Core ML device that is ready to run programs."""

    @property
    def model(self) -> str:
        """Apple's identifier of the model, such as `iPhone13,2`."""
        ...

    @property
    def chip(self) -> str:
        """Its processor."""
        ...

    @property
    def which(self) -> str:
        """What tells it from another device of its model and names neither; empty for this Mac."""
        ...

    @property
    def build(self) -> str:
        """The build of its system: another one starts another series."""
        ...

    @property
    def system(self) -> str:
        """Its system with version and build, as circumstances state it."""
        ...

    @property
    def runtime(self) -> str:
        """What runs the programs there, with its version."""
        ...

    def compiled(self, package: Path) -> Path:
        """Return what it loads of a package: itself, or what Apple's compiler made of it beside it."""
        ...

    def load(self, compiled: Path) -> LoadedProgram:
        """Load a program."""
        ...

    def stop(self) -> None:
        """Leave nothing behind on the device."""
        ...
