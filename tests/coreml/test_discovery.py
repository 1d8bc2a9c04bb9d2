"""Which device is on the cable, and whether it can be measured."""

import pytest
from cable import IPHONE, said_in_time
from fake_apple import FakeApple

from repvit_nas.coreml.discovery import find_device


def test_one_of_two_phones_is_chosen(tmp_path):
    apple = FakeApple(tmp_path / "apple", phones=["iPhone13,2"] * 2)

    found = find_device(apple, IPHONE, udid="00008101-000A3C210CE00001")

    assert found.udid.endswith("0001")


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"simulators_only": True}, "only simulators are listed.*plug it in by cable"),
        ({"phones": []}, "no iPhone 12 is connected; plug it in"),
        ({"phones": ["iPhone14,5"]}, r"connected: iPhone 13 .*--device iphone13"),
        ({"phones": ["iPhone99,9"]}, "connected: iPhone99,9"),
        ({"phones": ["iPhone13,2"] * 2}, "2 devices are iPhone 12: say which with --udid 00008101"),
        ({"unpaired": True}, "does not trust this Mac: unlock it and tap Trust"),
        ({"developer_mode": "disabled"}, "Developer Mode is off.*Settings, Privacy & Security"),
        ({"system": "16.5.1"}, "runs 16.5.1: 17.4 or newer is needed"),
        ({"tunnel": "disconnected", "tunnel_wakes": False}, "connection to it does not open"),
        (
            {"system_after_tunnel": True, "tunnel": "disconnected", "tunnel_wakes": False},
            "is paired, but it is not on the cable: plug it in",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_why_no_device_is_chosen_is_said_in_time(tmp_path, faults, said):
    said_in_time(FakeApple(tmp_path / "apple", **faults), tmp_path, said)
