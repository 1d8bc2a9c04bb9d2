"""What is known of a device, and whose figures are whose."""

from pathlib import Path

import msgspec
import pytest

from repvit_nas import data
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.latency_lut.device import (
    Device,
    DeviceFile,
    RuntimeSpec,
    check_device_name,
    device_names,
    differences,
    load_device,
)


def test_devices_are_found_and_unknown_ones_answered():
    assert {"iphone12", "iphone13"} <= set(device_names())
    with pytest.raises(
        UnknownNameError, match="device 'nokia3310' is not known; known: .*iphone12"
    ):
        load_device("nokia3310")
    for name in ("iphone12", "iphone13"):
        device = load_device(name)
        assert device.file.kind == "modelled"
        assert device.name == name


FILE = DeviceFile(
    device="x", title="X", kind="measured", protocol=1, runtime=RuntimeSpec("onnxruntime"),
    circumstances={"processor": "a processor that nobody has"},
)  # fmt: skip


def device(**circumstances):
    file = msgspec.structs.replace(FILE, circumstances={**FILE.circumstances, **circumstances})
    return Device(data.Found(Path("nowhere"), shipped=False), file)


def test_another_machine_s_processor_is_refused_and_an_accelerator_is_not():
    with pytest.raises(RepvitNasError, match="measured on a processor that nobody has.*--foreign"):
        device().refuse_foreign()

    device(accelerator="Neural Engine").refuse_foreign()


@pytest.mark.parametrize("name", ["a", "0.9", "iphone12-pro_max.2", "x" * 64])
def test_names_that_a_folder_may_have_are_taken(name):
    assert check_device_name(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "iPhone", "a/b", "a b", "x" * 65, "a\n"])
def test_names_that_are_no_folder_s_are_refused(name):
    with pytest.raises(RepvitNasError, match="small letters, digits.*; got"):
        check_device_name(name)


def test_a_measured_device_states_what_timed_it():
    content = b'{"device": "x", "title": "X", "kind": "measured", "circumstances": {}}'
    with pytest.raises(msgspec.ValidationError, match="must state `protocol` and `runtime`"):
        msgspec.json.decode(content, type=DeviceFile)


def test_circumstances_differ_by_all_but_date_and_momentary_frequency():
    there = {"os": "18.1", "date": "2024-01-01", "frequency": "3 GHz", "threads": "1"}
    here = {"os": "18.2", "date": "2025-01-01", "frequency": "2 GHz", "batch": "1"}

    assert differences(there, here) == [
        "batch is 'not stated' there and '1' here",
        "os is '18.1' there and '18.2' here",
        "threads is '1' there and 'not stated' here",
    ]


def test_a_digest_is_of_the_figures_and_of_nothing_else(tmp_path):
    known = Device(data.Found(tmp_path, shipped=False), FILE)
    (tmp_path / "table.json").write_text("1")
    before = known.digest()
    (tmp_path / "plan.json").write_text("2")
    assert known.digest() == before

    (tmp_path / "published.csv").write_text("3")

    assert known.digest() != before
