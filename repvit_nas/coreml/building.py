"""Apple's ModelRunner app, built from the installed coremltools with a warm loop, and signed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from repvit_nas import files
from repvit_nas.conversion.converter import REQUIRED
from repvit_nas.coreml.discovery import Connected
from repvit_nas.coreml.xcrun import BUILD, Apple, XcrunError, tool
from repvit_nas.errors import RepvitNasError

WORKSPACE: Final = "ModelRunner.xcworkspace"
SERVICE: Final = Path("ModelRunner") / "ModelService.swift"
SCHEME: Final = "modelrunner"
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
                raise RepvitNasError(locked_text(device.title)) from error
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


def locked_text(title: str) -> str:
    """Say that a device is locked, and what to do."""
    return f"{title} is locked: unlock it, leave its screen on, and repeat the command"
