"""CSV and JSON of a device lab."""

import json

import pytest

from repvit_nas.coreml.importers.generic import read_csv, read_json
from repvit_nas.errors import FileError


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
