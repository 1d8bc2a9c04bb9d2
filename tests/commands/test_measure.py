"""`measure` and `validate` on a phone: time enough, and what can be done without one."""

from types import SimpleNamespace

import pytest

from repvit_nas.commands import _run
from repvit_nas.errors import RepvitNasError


@pytest.mark.parametrize(
    ("words", "minutes"),
    [
        (["measure", "repvit_m0_9"], 10.0),
        (["measure", "repvit_m0_9", "--minutes", "1"], 1.0),
        (["validate"], 60.0),
        (["validate", "--minutes", "4"], 4.0),
    ],
)
@pytest.mark.usefixtures("measured_phone")
def test_a_phone_is_given_time_for_its_visits(monkeypatch, capsys, words, minutes):
    """What suffices for a processor is over before a phone's first round."""

    def time_on(_device, _networks, limits, *_, **__):
        raise RepvitNasError(f"{limits.minutes} minutes")

    monkeypatch.setattr("repvit_nas.timing.time_on", time_on)
    table = SimpleNamespace(resolution=224, output="logits", chosen=None, networks=lambda _: [])
    monkeypatch.setattr("repvit_nas.latency_lut.table.read_table", lambda *_: table)
    predictor = "repvit_nas.predictors.predictor.load_predictor"
    monkeypatch.setattr(predictor, lambda _: (None, "a test"))

    assert _run([*words, "--device", "iphone12"], debug=False) == 1

    assert f"{minutes} minutes" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["measure", "repvit_m0_9"], ["validate"]])
@pytest.mark.usefixtures("measured_phone")
def test_without_a_mac_a_measured_phone_is_not_said_to_be_modelled(monkeypatch, capsys, words):
    """Its reports were imported: to export again is no way to time one network."""
    table = SimpleNamespace(resolution=224, output="logits", chosen=None, networks=lambda _: [])
    monkeypatch.setattr("repvit_nas.latency_lut.table.read_table", lambda *_: table)
    predictor = "repvit_nas.predictors.predictor.load_predictor"
    monkeypatch.setattr(predictor, lambda _: (None, "a test"))
    monkeypatch.setenv("PATH", "")  # no xcrun on it

    assert _run([*words, "--device", "iphone12"], debug=False) == 1

    said = capsys.readouterr().err.splitlines()[-1]
    assert "xcrun is not on the path" in said
    assert "repvit-nas predict ARCH --device iphone12" in said
    assert "--export" not in said
    assert "modelled" not in said


@pytest.mark.usefixtures("measured_phone")
def test_without_a_mac_the_other_ways_do_not_call_a_measured_phone_modelled(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no xcrun on it

    assert _run(["measure-lut", "--device", "iphone12"], debug=False) == 1

    said = capsys.readouterr().err
    assert "--export DIR" in said
    assert "modelled" not in said
