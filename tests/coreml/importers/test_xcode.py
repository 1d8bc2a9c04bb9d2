"""Xcode's reports: seconds become milliseconds, placements are read, and no name goes further."""

import pytest
from xcode_reports import bundle, report

from repvit_nas.coreml.importers.xcode import read_report
from repvit_nas.errors import FileError

OPERATIONS = [
    {"operatorName": "ios16.const", "outputs": [{"name": "w"}]},
    {
        "operatorName": "ios16.conv", "outputs": [{"name": "conv_1"}], "cost": {"weight": 0.75},
        "deviceUsage": {"preferred": {"deviceType": {"neuralEngine": {}}}},
    },
    {
        "operatorName": "ios16.gelu", "outputs": [{"name": "gelu_1"}], "cost": {"weight": 0.25},
        "deviceUsage": {"preferred": {"deviceType": "cpu"}},
    },
]  # fmt: skip


def structure(*, payload):
    program = {"functions": {"main": {"block": {"operations": OPERATIONS}}}}
    return {"program": {"_0": program} if payload else program}


def test_seconds_become_milliseconds_and_names_are_dropped(tmp_path):
    found = read_report(bundle(tmp_path, report()))

    assert found.samples == pytest.approx((0.87, 0.89))
    assert found.name == "block-x2--12345678"
    assert (found.tool, found.model, found.system) == ("xcode-report", "iPhone 12", "iOS 16.5.1")
    assert found.compute_units == "CPU_AND_NE"
    assert found.operations == ()
    for secret in ("SECRET", "Ada"):
        assert secret not in repr(found)


@pytest.mark.parametrize("payload", [True, False])
def test_placement_is_read_where_it_is(tmp_path, payload):
    found = read_report(bundle(tmp_path, report(modelStructure=structure(payload=payload))))

    assert found.operations == (("conv_1", "neuralEngine", 0.75), ("gelu_1", "cpu", 0.25))


@pytest.mark.parametrize("odd", [None, [], "text", {"program": 3}, {"program": {"functions": 1}}])
def test_a_placement_of_another_shape_is_none(tmp_path, odd):
    assert read_report(bundle(tmp_path, report(modelStructure=odd))).operations == ()


def test_what_is_missing_is_named(tmp_path):
    document = report()
    del document["modelMetadata"]["fileName"]
    with pytest.raises(FileError, match="fileName"):
        read_report(bundle(tmp_path, document, "b"))
    document = report()
    del document["deviceResults"]["predict"]
    with pytest.raises(FileError, match="predict"):
        read_report(bundle(tmp_path, document, "c"))
    with pytest.raises(FileError, match="must be seconds above 0"):
        read_report(bundle(tmp_path, report(samples=[0.001, 0]), "d"))
    with pytest.raises(FileError, match="must be seconds above 0"):
        read_report(bundle(tmp_path, report(samples=[]), "e"))


def test_a_report_without_device_or_units_is_taken(tmp_path):
    document = report()
    del document["deviceInfo"], document["computeUnit"]

    found = read_report(bundle(tmp_path, document))

    assert (found.model, found.system, found.compute_units) == ("", "", "")


def test_an_absurd_xcode_report_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"between 0\.0001 and 1e\+06 ms; got 8\.7e\+06 ms"):
        read_report(bundle(tmp_path, report(samples=[8700.0])))
    document = report()
    document["deviceInfo"]["osNameAndVersionWithoutBuildNumber"] = "x" * 300
    with pytest.raises(FileError, match="system must be one line of at most 56 bytes"):
        read_report(bundle(tmp_path, document, "b"))
