"""Apple's ModelRunner app on the device: built from the installed coremltools, signed, run, removed."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from repvit_nas import files
from repvit_nas.conversion.converter import REQUIRED
from repvit_nas.conversion.package import COMPILED_SUFFIX, INPUT
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

WORKSPACE: Final = "ModelRunner.xcworkspace"
SERVICE: Final = Path("ModelRunner") / "ModelService.swift"
SCHEME: Final = "modelrunner"
# Seconds in which an app that cannot start has ended.
_SETTLE: Final = 1.5
_LOOKS: Final = 3
# The app deletes nothing of what it is sent; after so many models it is removed with all of it.
FRESH_AFTER: Final = 100
# Hashed with a phone's identifier, so that the hash is of use here alone.
_WHICH: Final = b"repvit-nas phone"

# Where the warm loop goes into the app's source: each place must be there exactly once. The app as
# it is runs one call a message, seconds apart, and the Neural Engine sleeps in between.
_LOOP: Final = (
    (
        (
            "            /// Dictionary of input tensors, keyed by name.\n"
            "            let inputs: [String: TensorDescriptor]\n"
        ),
        (
            "            /// Dictionary of input tensors, keyed by name.\n"
            "            let inputs: [String: TensorDescriptor]\n"
            "            /// Calls to time in one loop, and calls before those.\n"
            "            let iterations: Int?\n"
            "            let warmup: Int?\n"
        ),
    ),
    (
        (
            "            /// Duration of the prediction operation in nano seconds.\n"
            "            let duration: UInt64\n"
        ),
        (
            "            /// Duration of the prediction operation in nano seconds.\n"
            "            let duration: UInt64\n"
            "            /// Durations of all timed calls, if a loop was asked for.\n"
            "            let durations: [UInt64]?\n"
        ),
    ),
    (
        (
            "fileprivate func predict(inputs: [String: TensorDescriptor], storage: Data) throws -> "
            "(outputs: [String: TensorDescriptor], storage: Data, duration: UInt64) {\n"
        ),
        (
            "fileprivate func predict(inputs: [String: TensorDescriptor], storage: Data, "
            "iterations: Int, warmup: Int) throws -> (outputs: [String: TensorDescriptor], "
            "storage: Data, duration: UInt64, durations: [UInt64]) {\n"
            "        var durations = [UInt64]()\n"
        ),
    ),
    (
        (
            "            let (modelOutputs, predictDuration) = try measure {\n"
            "                try predict(inputs: try MLDictionaryFeatureProvider(dictionary: "
            "modelInputs))\n"
            "            }\n"
        ),
        (
            "            let provider = try MLDictionaryFeatureProvider(dictionary: modelInputs)\n"
            "            for _ in 0..<max(0, warmup) {\n"
            "                _ = try predict(inputs: provider)\n"
            "            }\n"
            "            var (modelOutputs, predictDuration) = try measure {\n"
            "                try predict(inputs: provider)\n"
            "            }\n"
            "            durations.append(predictDuration)\n"
            "            for _ in 1..<max(1, iterations) {\n"
            "                (modelOutputs, predictDuration) = try measure {\n"
            "                    try predict(inputs: provider)\n"
            "                }\n"
            "                durations.append(predictDuration)\n"
            "            }\n"
        ),
    ),
    (
        "return (outputs: outputs, storage: buffer, duration: duration)",
        "return (outputs: outputs, storage: buffer, duration: duration, durations: durations)",
    ),
    (
        (
            "let (outputs, storage, duration) = try loadedModel.predict(inputs: details.inputs,\n"
            "                                                                   storage: try "
            "Data(contentsOf: resource, options: .mappedIfSafe))\n"
        ),
        (
            "let (outputs, storage, duration, durations) = try loadedModel.predict(\n"
            "            inputs: details.inputs,\n"
            "            storage: try Data(contentsOf: resource, options: .mappedIfSafe),\n"
            "            iterations: details.iterations ?? 1,\n"
            "            warmup: details.warmup ?? 0)\n"
        ),
    ),
    (
        "            duration: duration,\n            resource: storageURL.lastPathComponent\n",
        (
            "            duration: duration,\n"
            "            durations: details.iterations == nil ? nil : durations,\n"
            "            resource: storageURL.lastPathComponent\n"
        ),
    ),
)


def with_loop(source: str) -> str | None:
    """Return the app's `ModelService.swift` with a warm loop; None if it is not the one known."""
    for place, replacement in _LOOP:
        if source.count(place) != 1:
            return None
        source = source.replace(place, replacement)
    return source


def sources() -> Path:
    """Return the folder of the app's source in the installed coremltools.

    Raises:
        RepvitNasError: It is not there.
    """
    import importlib.util

    found = importlib.util.find_spec("coremltools")
    origin = found.origin if found is not None else None
    folder = Path(origin).parent / "modelrunner" if origin else Path("coremltools/modelrunner")
    if not (folder / WORKSPACE).is_dir():
        raise RepvitNasError(
            f"{folder} is missing: the runner app comes with coremltools for macOS only; install it "
            f"there with pip install '{REQUIRED}'"
        )
    return folder


class Built(NamedTuple):
    """The app, ready to be installed.

    Attributes:
        path: The `.app`.
        bundle: Its identifier.
        loop: Whether the warm loop was built in.
        fresh: Whether it was built just now.
    """

    path: Path
    bundle: str
    loop: bool
    fresh: bool


def xcode_version(apple: Apple) -> str:
    """Return the version and build of Xcode, such as `26.5 17F42`.

    Raises:
        XcrunError: There is no Xcode.
    """
    words = tool(apple, ["xcodebuild", "-version"]).split()
    return " ".join(word for word in words if word[:1].isdigit())


def check_team(team: str) -> None:
    """Raise unless there is a team.

    Raises:
        RepvitNasError: There is none.
    """
    if not team:
        raise RepvitNasError(
            "a phone runs signed apps only: give the identifier of a development team with --team or "
            "REPVIT_NAS_TEAM (Xcode, Settings, Accounts; a free personal team will do)"
        )


def build(
    apple: Apple,
    device: Connected,
    folder: Path,
    *,
    team: str,
    source: Path | None = None,
    loop: bool = True,
    again: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build and sign the app, or take what was built before from the same source.

    Args:
        apple: Apple's tools.
        device: What to build for.
        folder: Where builds are kept.
        team: Identifier of the team that signs; Apple's own, which the project names, cannot.
        source: The app's source; by default that of the installed coremltools.
        loop: Whether to build the warm loop in.
        again: Build even if it was built before: a free team's signature lapses after a week.
        say: Told when the stock app is built because the loop could not be.

    Raises:
        RepvitNasError: There is no team or no source, the device is locked, or the build fails.
    """
    check_team(team)
    origin = source or sources()
    service = files.read_bytes(origin / SERVICE).decode()
    patched = with_loop(service) if loop else None
    if loop and patched is None:
        say(
            "this coremltools' ModelService.swift is not the one the warm loop was written for: the "
            "stock app is used, whose calls are all cold ones"
        )
    for content in dict.fromkeys((patched, None)):
        try:
            return _built(
                apple, device, folder, team=team, origin=origin, patched=content, again=again
            )
        except XcrunError as error:
            if error.locked:  # no fault of the source
                raise RepvitNasError(_is_locked(device.title)) from error
            if content is None:
                raise RepvitNasError(
                    f"the runner app cannot be built: {error.said or error}; open Xcode once, sign in "
                    "with the team's Apple account, and repeat"
                ) from error
            say(f"the warm loop does not build ({error.said[-120:]}): the stock app is used")
    raise AssertionError


def _built(
    apple: Apple,
    device: Connected,
    folder: Path,
    *,
    team: str,
    origin: Path,
    patched: str | None,
    again: bool,
) -> Built:
    version = xcode_version(apple)
    content = patched or files.read_bytes(origin / SERVICE).decode()
    key = files.digest(content.encode(), version.encode(), team.encode(), device.udid.encode())
    home = folder / key
    bundle = f"org.repvit-nas.modelrunner.{team.lower()}"
    products = home / "products"
    if again:
        shutil.rmtree(home, ignore_errors=True)
    ready = next(iter(sorted(products.rglob("*.app"))), None)
    if ready is not None:
        return Built(ready, bundle, patched is not None, fresh=False)
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(origin, home / "source")
    files.write_bytes(home / "source" / SERVICE, content.encode())
    tool(
        apple,
        [
            "xcodebuild",
            "-workspace", str((home / "source" / WORKSPACE).resolve()),
            "-scheme", SCHEME,
            "-sdk", "iphoneos",
            "-destination", f"platform=iOS,id={device.udid}",
            "-configuration", "Release",
            "-allowProvisioningUpdates",
            "-allowProvisioningDeviceRegistration",
            f"SYMROOT={products.resolve()}",
            "CODE_SIGN_STYLE=Automatic",
            f"DEVELOPMENT_TEAM={team}",
            f"PRODUCT_BUNDLE_IDENTIFIER={bundle}",
        ],
        BUILD,
    )  # fmt: skip
    made = next(iter(sorted(products.rglob("*.app"))), None)
    if made is None:
        raise XcrunError("xcodebuild ended without an app", "no .app was made")
    return Built(made, bundle, patched is not None, fresh=True)


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
                raise RepvitNasError(_is_locked(self.device.title)) from error
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


def _is_locked(title: str) -> str:
    return f"{title} is locked: unlock it, leave its screen on, and repeat the command"


def _why_not_started(said: str, title: str) -> str:
    text = said.lower()
    if says_locked(said):
        return _is_locked(title)
    if "trust" in text or "profile" in text or "signature" in text:
        return (
            f"{title} does not trust the app's signature: on the device, Settings, General, VPN & "
            "Device Management, trust your own developer certificate, and repeat the command"
        )
    return f"the runner app does not start on {title}: {said[-200:] or 'it said nothing'}"
