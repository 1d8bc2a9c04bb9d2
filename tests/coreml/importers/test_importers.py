"""Reports written by hand in the shapes that Xcode and device labs give."""

import json

import pytest

from repvit_nas.coreml.importers.folder import read_folder
from repvit_nas.coreml.importers.generic import read_csv, read_json
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


def report(name="block-x2--12345678", samples=(0.00087, 0.00089), **more):
    return {
        "modelMetadata": {"fileName": f"{name}.mlpackage", "size": 12},
        "deviceInfo": {
            "modelName": "iPhone 12",
            "osNameAndVersionWithoutBuildNumber": "iOS 16.5.1",
            "displayName": "Ada's phone",
            "deviceID": "00008101-SECRET",
            "serialNumber": "C39SECRET",
        },
        "computeUnit": 3,
        "deviceResults": {"predict": {"samples": list(samples), "numOperations": 3}, **more},
        "somethingNew": {"in": "Xcode 28"},
    }


def bundle(folder, document, name="a"):
    path = folder / f"{name}.mlperf"
    path.mkdir(parents=True)
    (path / "report.json").write_text(json.dumps(document))
    return path


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


def test_csv_of_a_device_lab(tmp_path):
    path = tmp_path / "lab.csv"
    path.write_text(
        "program,latency_ms,samples_ms,tool,model,colour\n"
        "a--1.mlpackage,1.5,,runlocal,iPhone 12,blue\n"
        "b--2,,1.0; 1.1 ;1.2,,,\n"
    )

    one, two = read_csv(path)

    assert (one.name, one.samples, one.tool, one.model) == ("a--1", (1.5,), "runlocal", "iPhone 12")
    assert (two.name, two.samples, two.tool) == ("b--2", (1.0, 1.1, 1.2), "device-lab")


@pytest.mark.parametrize("wrapped", [True, False])
def test_json_of_a_device_lab(tmp_path, wrapped):
    items = [{"program": "a--1", "samples_ms": [1, 2.5], "new": {"key": 1}}]
    path = tmp_path / "lab.json"
    path.write_text(json.dumps({"measurements": items, "lab": "x"} if wrapped else items))

    (found,) = read_json(path)

    assert found.samples == (1.0, 2.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency_ms\n1\n", "line 2: `program` is missing"),
        ("program,latency_ms\na,\n", "line 2: `latency_ms` or `samples_ms` is missing"),
        ("program,latency_ms\na,fast\n", "latencies must be numbers"),
        ("program,latency_ms\na,-1\n", "milliseconds above 0"),
        ("program,latency_ms\na,inf\n", "milliseconds above 0"),
    ],
)
def test_a_row_that_lacks_something_says_what(tmp_path, text, said):
    (tmp_path / "lab.csv").write_text(text)

    with pytest.raises(FileError, match=said):
        read_csv(tmp_path / "lab.csv")


@pytest.mark.parametrize("text", ['"text"', "[1]", "{", '{"measurements": 3}'])
def test_json_of_another_shape_is_refused(tmp_path, text):
    (tmp_path / "lab.json").write_text(text)

    with pytest.raises(FileError, match=r"lab\.json: (must be a list|is no valid JSON)"):
        read_json(tmp_path / "lab.json")


def test_a_spreadsheet_s_mark_is_no_part_of_the_header(tmp_path):
    (tmp_path / "lab.csv").write_bytes(b"\xef\xbb\xbfprogram,latency_ms\na,1.5\n")
    (tmp_path / "lab.json").write_bytes(b'\xef\xbb\xbf[{"program": "a", "latency_ms": 1.5}]')

    (one,), (other,) = read_csv(tmp_path / "lab.csv"), read_json(tmp_path / "lab.json")

    assert one.samples == other.samples == (1.5,)
    assert one.name == other.name == "a"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"latency_ms": 10**400}, "item 1: latencies must be numbers; got 1000"),
        ({"latency_ms": True}, "item 1: latencies must be numbers; got True"),
        ({"samples_ms": [1, True]}, "item 1: latencies must be numbers"),
        ({"latency_ms": 1e-5}, "item 1: latencies must be between 0.0001 and 1e.06 ms; got 1e-05 ms"),
        ({"samples_ms": [1, 2e6]}, "item 1: latencies must be between"),
        ({"latency_ms": 1, "system": "x" * 300}, "item 1: system must be one line of at most 56"),
        ({"latency_ms": 1, "tool": "a\nb"}, "item 1: tool must be one line"),
        ({"latency_ms": 1, "model": {"a": 1}}, "item 1: `model` must be text; got {'a': 1}"),
    ],
)  # fmt: skip
def test_what_cannot_be_true_is_refused_in_one_line(tmp_path, fields, said):
    (tmp_path / "lab.json").write_text(json.dumps([{"program": "a", **fields}]))

    with pytest.raises(FileError, match=said) as info:
        read_json(tmp_path / "lab.json")

    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 250 + len(str(tmp_path))


def test_a_file_nested_too_deep_is_refused(tmp_path):
    (tmp_path / "lab.json").write_text("[" * 100_000 + "]" * 100_000)

    with pytest.raises(FileError, match=r"lab\.json: is no valid JSON: maximum recursion"):
        read_json(tmp_path / "lab.json")


def test_an_absurd_xcode_report_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"between 0\.0001 and 1e\+06 ms; got 8\.7e\+06 ms"):
        read_report(bundle(tmp_path, report(samples=[8700.0])))
    document = report()
    document["deviceInfo"]["osNameAndVersionWithoutBuildNumber"] = "x" * 300
    with pytest.raises(FileError, match="system must be one line of at most 56 bytes"):
        read_report(bundle(tmp_path, document, "b"))


def test_a_folder_is_read_whole_and_its_own_files_are_not_reports(tmp_path):
    bundle(tmp_path / "deep", report())
    (tmp_path / "lab.csv").write_text("program,latency_ms\nb,1\n")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "plan.json").write_text("{}")
    inner = tmp_path / "programs" / "x.mlpackage"
    inner.mkdir(parents=True)
    (inner / "Manifest.json").write_text("{}")
    compiled = tmp_path / "programs" / "b.mlmodelc"  # as Xcode leaves one beside its package
    compiled.mkdir()
    (compiled / "metadata.json").write_text('[{"storagePrecision": "Float16"}]')

    names = {found.name for found in read_folder(tmp_path)}

    assert names == {"block-x2--12345678", "b"}


def test_a_folder_without_reports_says_what_is_wanted(tmp_path):
    with pytest.raises(FileError, match=r"holds no report; wanted are Xcode's NAME\.mlperf"):
        read_folder(tmp_path)
    with pytest.raises(FileError, match="must be a folder"):
        read_folder(tmp_path / "nowhere")
