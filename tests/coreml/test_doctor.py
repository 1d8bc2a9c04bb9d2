"""What is missing before a device can be measured, each with its remedy."""

import pytest
from fake_apple import FakeApple
from fake_core_ml import MAC

from repvit_nas.coreml.doctor import examine
from repvit_nas.coreml.mac import examine_mac
from repvit_nas.coreml.products import product


@pytest.mark.parametrize(
    ("faults", "name", "said"),
    [
        ({"xcode": "15.4"}, "Xcode", "16 or newer"),
        ({"phones": []}, "device", "no iPhone 12 is connected"),
        ({"tunnel": "disconnected", "tunnel_wakes": False}, "connection", "does not open"),
        ({"tunnel": "disconnected"}, "connection", "open"),
        (
            {"system_after_tunnel": True, "tunnel": "disconnected", "tunnel_wakes": False},
            "device",
            "it is not on the cable: plug it in",
        ),
    ],
)
def test_doctor_names_each_fault(tmp_path, faults, name, said):
    apple = FakeApple(tmp_path / "apple", **faults)

    found = {one.name: one for one in examine(product("iphone12"), team="TEAM1", apple=apple)}

    assert said in found[name].said
    assert found["team"].fine


@pytest.mark.parametrize(
    ("version", "fine"), [("8.3.0", False), ("9.0b1", True), ("9.0", True), ("10", True)]
)
def test_doctor_wants_a_coremltools_that_is_new_enough(tmp_path, monkeypatch, version, fine):
    """As pip notes what is installed, in a folder that comes first."""
    noted = tmp_path / "site" / f"coremltools-{version}.dist-info"
    noted.mkdir(parents=True)
    (noted / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: coremltools\nVersion: {version}\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")

    phone = examine(product("iphone12"), team="T", apple=FakeApple(tmp_path / "apple"))
    mac = examine_mac(product("mac"), MAC, loads=True)

    old = f"{version} is too old: pip install --upgrade 'coremltools>=9.0'"
    for listed, said in ((phone, version), (mac, "loads models here")):
        (found,) = (item for item in listed if item.name == "coremltools")
        assert found == ("coremltools", fine, said if fine else old)
