"""Apple's ModelRunner app on the device: installed, run, removed."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from repvit_nas import files
from repvit_nas.conversion.package import COMPILED_SUFFIX, INPUT
from repvit_nas.coreml.building import Built, locked_text
from repvit_nas.coreml.client import ModelRunner, Waits
from repvit_nas.coreml.discovery import Connected
from repvit_nas.coreml.place import LoadedProgram
from repvit_nas.coreml.products import product_of_type
from repvit_nas.coreml.xcrun import (
    BUILD,
    COPY,
    QUICK,
    Apple,
    Process,
    XcrunError,
    devicectl,
    says_locked,
    tool,
)
from repvit_nas.errors import RepvitNasError

# Seconds in which an app that cannot start has ended.
_SETTLE: Final = 1.5
_LOOKS: Final = 3
# The app deletes nothing of what it is sent; after so many models it is removed with all of it.
FRESH_AFTER: Final = 100
# Hashed with a phone's identifier, so that the hash is of use here alone.
_WHICH: Final = b"repvit-nas phone"


class Phone:
    """The app on one device, from installing to removing.

    Args:
        apple: Apple's tools.
        device: The device.
        built: The app.
        waits: How long things may take.
        sleep: Waits.
        fresh_after: After how many programs the app is started afresh.
    """

    def __init__(
        self,
        apple: Apple,
        device: Connected,
        built: Built,
        *,
        waits: Waits | None = None,
        sleep: Callable[[float], None] = time.sleep,
        fresh_after: int = FRESH_AFTER,
    ) -> None:
        self.apple = apple
        self.device = device
        self.built = built
        self._waits = waits or Waits()
        self._sleep = sleep
        self._fresh_after = fresh_after
        self._process: Process | None = None
        self._installed = False
        self._loads = 0
        self._afterwards = contextlib.ExitStack()

    def start(self) -> None:
        """Remove what is left of an earlier run, install the app and launch it.

        Raises:
            RepvitNasError: It cannot be installed or does not start.
        """
        self._end()
        self._remove()
        on = ["--device", self.device.identifier]
        self._installed = True  # or half of it
        try:
            devicectl(
                self.apple, ["device", "install", "app", *on, str(self.built.path.resolve())], BUILD
            )
        except XcrunError as error:
            if error.locked:
                raise RepvitNasError(locked_text(self.device.title)) from error
            raise
        words = [
            "devicectl", "device", "process", "launch", "--console", "--terminate-existing", *on,
            self.built.bundle,
        ]  # fmt: skip
        self._process = self.apple.start(words)
        for _ in range(_LOOKS):
            self._sleep(_SETTLE / _LOOKS)
            if self._process.poll() is not None:
                said = self._process.said().strip()
                self._end()
                raise RepvitNasError(_why_not_started(said, self.device.title))
        self._loads = 0

    def client(self) -> ModelRunner:
        """Return what talks to the app.

        Raises:
            RepvitNasError: The app was not started.
        """
        if self._process is None:
            raise RepvitNasError("the runner app was not started")
        return ModelRunner(
            self.apple,
            self.device.identifier,
            self.built.bundle,
            self._process,
            waits=self._waits,
            sleep=self._sleep,
        )

    @property
    def model(self) -> str:
        """Apple's identifier of the model."""
        return self.device.product_type

    @property
    def chip(self) -> str:
        """Its processor."""
        known = product_of_type(self.device.product_type)
        return known.chip if known else "not known"

    @property
    def which(self) -> str:
        """What tells it from another phone of its model: 16 bits, by which nobody finds a phone."""
        return files.digest(_WHICH, self.device.udid.encode())[:4]

    @property
    def build(self) -> str:
        """The build of its system."""
        return self.device.build

    @property
    def system(self) -> str:
        """Its system with version and build."""
        return f"{self.device.family} OS {self.device.system} ({self.device.build})"

    @property
    def runtime(self) -> str:
        """What runs the programs."""
        from importlib.metadata import version

        return f"coreml ModelRunner, coremltools {version('coremltools')}"

    def compiled(self, package: Path) -> Path:
        """Return the compiled program beside a package, compiled now if it is new.

        Raises:
            RepvitNasError: Apple's compiler does not take it.
        """
        made = package.with_suffix(COMPILED_SUFFIX)
        if made.is_dir():
            return made
        with tempfile.TemporaryDirectory(dir=package.parent, prefix=".compiling.") as beside:
            tool(self.apple, ["coremlcompiler", "compile", str(package), beside], COPY)
            if not (Path(beside) / made.name).is_dir():
                raise RepvitNasError(f"xcrun coremlcompiler made no {made.name} of {package}")
            shutil.move(Path(beside) / made.name, made)
        return made

    def load(self, compiled: Path) -> LoadedProgram:
        """Load a program, after a fresh start of the app if enough was left on the device."""
        self._loads += 1
        if self._loads > self._fresh_after:
            self.start()
            self._loads = 1
        client = self.client()
        model, _ = client.load(compiled)
        return _LoadedThere(client, model)

    def stop(self) -> None:
        """End the app and remove it with all it was sent; a device that is gone is no error."""
        self._end()
        if self._installed:
            self._remove()
            self._installed = False
        self._afterwards.close()

    def until_stopped(self, opened: contextlib.ExitStack) -> None:
        """Keep something open until the app has ended, such as the device's clock."""
        self._afterwards = opened

    def _end(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _remove(self) -> None:
        with contextlib.suppress(XcrunError):
            devicectl(
                self.apple,
                [
                    "device", "uninstall", "app", "--device", self.device.identifier,
                    self.built.bundle,
                ],
                QUICK,
            )  # fmt: skip


class _LoadedThere:
    """A program, loaded by the app."""

    def __init__(self, client: ModelRunner, model: str) -> None:
        self._client = client
        self._model = model

    def plan(self) -> list[tuple[str, str, float | None]]:
        return self._client.plan(self._model)

    def predict(
        self, shape: Sequence[int], *, warm_up: int, calls: int
    ) -> tuple[list[float], bool]:
        return self._client.predict(self._model, INPUT, shape, warm_up=warm_up, calls=calls)

    def unload(self) -> None:
        self._client.unload(self._model)


def _why_not_started(said: str, title: str) -> str:
    text = said.lower()
    if says_locked(said):
        return locked_text(title)
    if "trust" in text or "profile" in text or "signature" in text:
        return (
            f"{title} does not trust the app's signature: on the device, Settings, General, VPN & "
            "Device Management, trust your own developer certificate, and repeat the command"
        )
    return f"the runner app does not start on {title}: {said[-200:] or 'it said nothing'}"
