"""XCTest's results: a test for each program, by Apple's tool or by what it printed."""

import json

import pytest
from service_reports import CLOCK, IDENTIFIER, metrics, summary, write

from repvit_nas.coreml.importers.xctest import read_bundle, read_printed
from repvit_nas.coreml.xcrun import Done
from repvit_nas.errors import FileError


class Tool:
    """An xcresulttool that prints what it was given."""

    def __init__(self, **printed):
        self.printed = printed
        self.asked = []

    def run(self, words, timeout_s):  # noqa: ARG002
        self.asked.append(words)
        return Done(0, json.dumps(self.printed[words[3]]), "")

    def start(self, words):
        raise NotImplementedError


def printed(folder, tests, about):
    write(folder / "a.xcsummary.json", about)
    return write(folder / "a.xcmetrics.json", tests)


@pytest.mark.parametrize(
    ("unit", "samples"),
    [("s", (0.00087,)), ("ms", (0.87,)), ("us", (870.0,)), ("µs", (870.0,)), ("ns", (870_000.0,))],
)
def test_every_unit_of_a_clock_becomes_milliseconds(tmp_path, unit, samples):
    (found,) = read_printed(printed(tmp_path, metrics(unit=unit, samples=samples), summary()))

    assert found.samples == pytest.approx((0.87,))


def test_names_and_identifiers_of_devices_go_no_further(tmp_path):
    (found,) = read_printed(printed(tmp_path, metrics(), summary()))

    assert (found.name, found.tool) == ("12345678", "xctest")
    assert (found.model, found.system) == ("iPhone 12", "iOS 17.5 (21F79)")
    assert found.compute_units == ""  # a result does not say
    assert IDENTIFIER not in repr(found)
    assert "Ada" not in repr(found)


def test_a_bundle_is_read_by_apples_tool(tmp_path):
    bundle = tmp_path / "R.xcresult"
    bundle.mkdir()
    apple = Tool(metrics=metrics(), summary=summary())

    (found,) = read_bundle(bundle, apple)

    assert found.samples == pytest.approx((0.87, 0.89))
    ask = ["xcresulttool", "get", "test-results"]
    assert apple.asked == [[*ask, part, "--path", str(bundle)] for part in ("metrics", "summary")]


def test_without_apples_tool_a_bundle_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileError, match=r"only a Mac with Xcode has: print NAME\.xcmetrics\.json"):
        read_bundle(tmp_path / "R.xcresult")


def missing(field):
    tests = metrics()
    del tests[0]["testRuns"][0]["metrics"][0][field]
    return tests


def on_none():
    tests = metrics()
    tests[0]["testRuns"][0]["metrics"] = []
    return tests


@pytest.mark.parametrize(
    ("tests", "about", "said"),
    [
        (missing("unitOfMeasurement"), summary(), "missing required field `unitOfMeasurement`"),
        (missing("measurements"), summary(), "missing required field `measurements`"),
        (missing("identifier"), summary(), "measured XCTClockMetric once"),
        (on_none(), summary(), f"measured XCTClockMetric once \\({CLOCK}\\); got nothing"),
        ([], summary(), "holds no test with metrics"),
        (metrics(unit="min"), summary(), "the unit of a clock must be one of .*; got 'min'"),
        (metrics(samples=()), summary(), "measured XCTClockMetric once"),
        (metrics(future=1), summary(), "unknown field `future`"),
        (metrics(method="testBlock()"), summary(), "a test's method must be `test_`"),
        (metrics(), summary(deviceId="other"), "does not hold the device of the run"),
        (metrics(), summary(platform="iOS Simulator"), "was made on a simulator"),
        (metrics(), summary(result="Failed"), "its tests must have passed; got Failed"),
        (metrics(), {"result": "Passed"}, "missing required field `devicesAndConfigurations`"),
    ],
)
def test_what_is_missing_or_not_known_is_one_line(tmp_path, tests, about, said):
    with pytest.raises(FileError, match=said) as caught:
        read_printed(printed(tmp_path, tests, about))
    assert "\n" not in str(caught.value)


def test_metrics_without_their_summary_are_refused(tmp_path):
    with pytest.raises(FileError, match=r"a\.xcsummary\.json: cannot be read"):
        read_printed(write(tmp_path / "a.xcmetrics.json", metrics()))
