"""XCTest's result bundles: `NAME.xcresult` on a Mac, and elsewhere what `xcrun xcresulttool` printed there.

    xcrun xcresulttool get test-results metrics --path R.xcresult > NAME.xcmetrics.json
    xcrun xcresulttool get test-results summary --path R.xcresult > NAME.xcsummary.json

Both commands came with Xcode 16.3. A bundle holds a test for each program: its method is `test_` and the
characters of the program's key that end the package's name. One measurement is one call. Identifiers and names of
devices are dropped here: they go no further.
"""

import re
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from repvit_nas import files
from repvit_nas.coreml.importers.imported import Imported, checked, on_a_device
from repvit_nas.coreml.xcrun import Apple, find_xcrun, tool
from repvit_nas.errors import FileError
from repvit_nas.quantities import Number

BUNDLE: Final = ".xcresult"
METRICS: Final = ".xcmetrics.json"
SUMMARY: Final = ".xcsummary.json"
TOOL: Final = "xctest"
_CLOCK: Final = "com.apple.dt.XCTMetric_Clock.time.monotonic"
_MS: Final = {"s": 1e3, "ms": 1.0, "µs": 1e-3, "us": 1e-3, "ns": 1e-6}
_METHOD: Final = re.compile(r"(?:.*/)?test_([0-9a-f]{8})(?:\(\))?")
Printed = TypeVar("Printed")


class _TestedOn(msgspec.Struct):
    """A device of a run: its identifier joins it with the summary, and is dropped then."""

    deviceId: str  # noqa: N815  # Apple's keys


class _TestMetric(msgspec.Struct, forbid_unknown_fields=True):
    displayName: str  # noqa: N815
    unitOfMeasurement: str  # noqa: N815
    measurements: tuple[Number, ...]
    identifier: str = ""
    polarity: str = ""
    baselineName: str = ""  # noqa: N815
    baselineAverage: Any = None  # noqa: N815
    maxRegression: Any = None  # noqa: N815
    maxPercentRegression: Any = None  # noqa: N815
    maxStandardDeviation: Any = None  # noqa: N815
    maxPercentRelativeStandardDeviation: Any = None  # noqa: N815


class _TestRun(msgspec.Struct, forbid_unknown_fields=True):
    device: _TestedOn
    metrics: tuple[_TestMetric, ...]
    testPlanConfiguration: Any = None  # noqa: N815


class _Test(msgspec.Struct, forbid_unknown_fields=True):
    testIdentifier: str  # noqa: N815
    testRuns: tuple[_TestRun, ...]  # noqa: N815
    testIdentifierURL: str = ""  # noqa: N815


class _TestDevice(msgspec.Struct):
    """A device of the summary, without its name: that is no field, so not read."""

    deviceId: str  # noqa: N815
    modelName: str  # noqa: N815
    osVersion: str  # noqa: N815
    platform: str
    osBuildNumber: str = ""  # noqa: N815


class _TestDestination(msgspec.Struct):
    device: _TestDevice


class _TestSummary(msgspec.Struct):
    result: Literal["Passed", "Failed", "Skipped", "Expected Failure", "unknown"]
    devicesAndConfigurations: tuple[_TestDestination, ...]  # noqa: N815


def read_bundle(bundle: Path, apple: Apple | None = None) -> list[Imported]:
    """Read a result bundle by Apple's own tool.

    Args:
        bundle: The bundle.
        apple: What runs Apple's tools; None for `xcrun`.

    Raises:
        FileError: There is no such tool here, or the bundle does not hold what is needed.
        XcrunError: The tool failed.
    """
    apple = apple or find_xcrun()
    if apple is None:
        raise FileError(
            f"{bundle}: is read by xcrun xcresulttool, which only a Mac with Xcode has: print NAME"
            f"{METRICS} and NAME{SUMMARY} there, as docs/iphone.md says, and put these here"
        )
    words = ["xcresulttool", "get", "test-results"]
    metrics, summary = (
        tool(apple, [*words, part, "--path", str(bundle)]) for part in ("metrics", "summary")
    )
    return _imported(
        str(bundle),
        _decoded(bundle, metrics, tuple[_Test, ...]),
        _decoded(bundle, summary, _TestSummary),
    )


def read_printed(path: Path) -> list[Imported]:
    """Read `NAME.xcmetrics.json` with the `NAME.xcsummary.json` beside it.

    Raises:
        FileError: One is missing, or does not hold what is needed.
    """
    tests = files.read_json(path, tuple[_Test, ...], schema=None)
    summary = path.with_name(path.name.removesuffix(METRICS) + SUMMARY)
    return _imported(str(path), tests, files.read_json(summary, _TestSummary, schema=None))


def _decoded(bundle: Path, text: str, kind: type[Printed]) -> Printed:
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FileError(f"{bundle}: xcresulttool printed no valid JSON: {error}") from error
    return files.convert(bundle, raw, kind, schema=None)


def _imported(origin: str, tests: tuple[_Test, ...], summary: _TestSummary) -> list[Imported]:
    if summary.result != "Passed":
        raise FileError(f"{origin}: its tests must have passed; got {summary.result}")
    devices = {each.device.deviceId: each.device for each in summary.devicesAndConfigurations}
    found = [
        _of_run(f"{origin}: {test.testIdentifier}", test, run, devices)
        for test in tests
        for run in test.testRuns
    ]
    if not found:
        raise FileError(f"{origin}: holds no test with metrics")
    return found


def _of_run(origin: str, test: _Test, run: _TestRun, devices: dict[str, _TestDevice]) -> Imported:
    method = _METHOD.fullmatch(test.testIdentifier)
    if method is None:
        raise FileError(
            f"{origin}: a test's method must be `test_` and the eight characters behind the `--` of a "
            "package's name"
        )
    if run.device.deviceId not in devices:
        raise FileError(f"{origin}: the summary does not hold the device of the run")
    device = devices[run.device.deviceId]
    on_a_device(origin, device.platform, device.modelName)
    clocks = [each for each in run.metrics if each.identifier == _CLOCK]
    if len(clocks) != 1 or not clocks[0].measurements:
        raise FileError(
            f"{origin}: must have measured XCTClockMetric once ({_CLOCK}); got "
            f"{', '.join(each.identifier or each.displayName for each in run.metrics) or 'nothing'}"
        )
    (clock,) = clocks
    if clock.unitOfMeasurement not in _MS:
        raise FileError(
            f"{origin}: the unit of a clock must be one of {', '.join(_MS)}; got "
            f"{clock.unitOfMeasurement!r}"
        )
    build = f" ({device.osBuildNumber})" if device.osBuildNumber else ""
    return checked(
        Imported(
            name=method[1],
            samples=tuple(_MS[clock.unitOfMeasurement] * value for value in clock.measurements),
            tool=TOOL,
            model=device.modelName,
            system=f"{device.platform} {device.osVersion}{build}",
            compute_units="",
            operations=(),
            origin=origin,
        )
    )
