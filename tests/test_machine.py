import re

from repvit_nas.latency_lut.device import differences
from repvit_nas.machine import machine, processor


def test_this_machine_is_described():
    found = machine()

    assert found["processor"] == processor() != ""
    assert int(found["cores"]) >= 1
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", found["date"])
    assert all(found.values())


def test_a_brand_without_a_model_gets_its_numbers(tmp_path, monkeypatch):
    """Two processors of one brand must not pass for one another."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n"
        "model name\t: AMD EPYC\nstepping\t: 1\ncpu MHz\t\t: 2445.434\n"
    )
    monkeypatch.setattr("platform.system", lambda: "Linux")

    assert processor(cpuinfo) == "AMD EPYC (family 25 model 17 stepping 1)"
    assert machine(cpuinfo, tmp_path)["frequency"] == "2445 MHz"
    (tmp_path / "scaling_governor").write_text("powersave\n")
    (tmp_path / "scaling_cur_freq").write_text("3100000\n")
    assert machine(cpuinfo, tmp_path)["frequency"] == "3100 MHz"
    assert machine(cpuinfo, tmp_path)["governor"] == "powersave"


def test_differences_are_in_words():
    there = {"processor": "A", "date": "2020-01-01", "threads": "1"}

    assert differences(there, there | {"date": "2026-01-01", "frequency": "1 MHz"}) == []
    assert differences(there, {"processor": "B", "threads": "1", "governor": "x"}) == [
        "governor is 'not stated' there and 'x' here",
        "processor is 'A' there and 'B' here",
    ]
