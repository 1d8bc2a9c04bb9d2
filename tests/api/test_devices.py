import pytest
from matplotlib.figure import Figure

import repvit_nas
from repvit_nas.errors import UnknownNameError, WrongTypeError


def test_the_family_stands_beside_what_was_published():
    found = repvit_nas.family("iphone12")
    frame = found.to_frame().set_index("network")

    assert frame.loc["repvit_m1_0", "published_ms"] == 1.0  # arXiv:2307.09283, table 2
    assert frame.loc["repvit_m1_0", "published_top1"] == pytest.approx(80.0, abs=0.05)
    assert found["repvit_m1_0"].latency == repvit_nas.family()["repvit_m1_0"].latency
    assert found.plot(Figure().subplots()).get_ylabel() == "top-1, %"
    with pytest.raises(WrongTypeError, match="resolution must be an integer"):
        repvit_nas.family(resolution="large")


def test_devices_are_there_by_name():
    found = repvit_nas.devices()

    assert found["iphone12"].kind == "modelled"
    assert found["cpu-epyc"].kind == "measured"
    assert list(found.to_frame()["device"]) == [row.device for row in found]
    assert "iPhone 12" in found._repr_html_()
    assert found.plot(Figure().subplots()).patches
    with pytest.raises(UnknownNameError, match="did you mean 'iphone12'"):
        found["iphon12"]


def test_the_table_of_a_measured_device_counts_its_rounds():
    frame = repvit_nas.table("cpu-epyc").to_frame()
    units = frame[frame["kind"] == "unit"]

    assert set(frame["kind"]) >= {"unit", "network"}
    assert (units["observations"] >= 1).all()
    assert (units["low_ms"] < units["latency_ms"]).all()
    assert (units["latency_ms"] < units["high_ms"]).all()


def test_the_table_of_a_modelled_device_is_what_was_published():
    found = repvit_nas.table("iphone12")
    frame = found.to_frame()
    row = frame[frame["name"].str.startswith("repvit_m1_0 at 224 px, logits")].iloc[0]

    assert set(frame["kind"]) == {"published"}
    assert (row["latency_ms"], row["source"]) == (1.0, "RepViT")
    assert row["low_ms"] < 1.0 < row["high_ms"]
    assert len(found) == len(list(found)) == len(frame)
    with pytest.raises(WrongTypeError, match="got NoneType: None"):
        repvit_nas.table(None)
