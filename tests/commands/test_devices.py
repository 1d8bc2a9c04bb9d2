"""`devices`: which there are, and how far off predictions are."""

import json


def test_devices(invoke):
    code, out, _ = invoke("devices", "--json")
    document = {row["device"]: row for row in json.loads(out)}

    assert code == 0
    assert document["iphone12"]["kind"] == "modelled"
    assert document["iphone12"]["left_out_percent"] <= 6.0
    assert 85 <= document["iphone12"]["coverage_percent"] <= 100
    code, out, _ = invoke("devices")
    assert code == 0
    assert "iPhone 12 (A14)" in out
