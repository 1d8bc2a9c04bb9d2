"""Melange's reports: one device's neural processor in half precision, as another runtime."""

import pytest
from service_reports import melange, record, write

from repvit_nas.coreml.importers.melange import read_report
from repvit_nas.errors import FileError


def is_iphone_12(name):
    return name == "iPhone 12"


def test_the_latencies_of_the_device_on_its_neural_processor_are_read(tmp_path):
    path = write(tmp_path / "block-x2--12345678.melange.json", melange())

    found = read_report(path, is_iphone_12)

    assert found.name == "block-x2--12345678"
    assert found.samples == (0.87, 0.89)
    assert (found.tool, found.model, found.system) == ("zetic-melange", "iPhone 12", "17.5")
    assert found.runtime == "melange"


def without(field):
    wrong = record()
    del wrong[field]
    return melange(wrong)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (without("unit"), "missing required field `unit`"),
        (without("device"), "missing required field `device`"),
        (melange(record(unit="us")), "Invalid enum value 'us'"),
        (melange(record(unit="mb")), "latency_ms must be in ms; got 'mb'"),
        (melange(record(precision="int4")), "Invalid enum value 'int4'"),
        (melange(record(engine="coreml")), "unknown field `engine`"),
        (
            melange(record(ap_type="cpu")),
            "no latency_ms on the npu in fp16; got cpu fp16, cpu fp32",
        ),
        (melange(record(), record(variant="v2")), "of several models, systems or conversions"),
        (melange(record(device={"os": "iOS Simulator 17"})), "was made on a simulator"),
        (melange(record(value=-1.0)), "latencies must be between"),
    ],
)
def test_what_is_missing_or_not_known_is_one_line(tmp_path, document, said):
    with pytest.raises(FileError, match=said) as caught:
        read_report(write(tmp_path / "a.melange.json", document), is_iphone_12)
    assert "\n" not in str(caught.value)


def test_a_report_of_other_devices_names_them(tmp_path):
    with pytest.raises(FileError, match="of the device; got those of iPhone 12, iPhone 16 Pro"):
        read_report(write(tmp_path / "a.melange.json", melange()), lambda name: name == "iPhone 13")
