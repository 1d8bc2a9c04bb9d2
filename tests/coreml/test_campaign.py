"""A series of a phone from the command line to a fitted device, on the simulated phone."""

import json
import os

import pytest
from fake_apple import BIN, FakeApple, app_source, simulated_packages
from simulated import SimulatedPhone

from repvit_nas.commands import _run
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space.family import family

WORDS = [
    "measure-lut", "--device", "iphone12", "--team", "TEAM1", "--units", "10", "--networks", "3",
    "--calibration", "3", "--precision", "0.9",
]  # fmt: skip


@pytest.fixture
def programs(elsewhere, monkeypatch):
    """What only coremltools for macOS holds, and programs as long as the simulated device's."""
    runner = "repvit_nas.coreml.runner"
    for room in ("building", "doctor", "opening"):
        monkeypatch.setattr(
            f"repvit_nas.coreml.{room}.sources", lambda: app_source(elsewhere / "app")
        )
    monkeypatch.setattr("fake_apple.true_latency_ms", SimulatedPhone().latency_ms)
    monkeypatch.setattr(f"{runner}.write_packages", simulated_packages)
    monkeypatch.setattr(f"{runner}._input_shape", lambda _: (3, 4, 4))


@pytest.fixture
def mac(elsewhere, monkeypatch, programs):
    """A Mac with a phone, in this process: quick enough for whole sessions."""
    apple = FakeApple(elsewhere / "apple", noise=0.003)
    monkeypatch.setattr("repvit_nas.coreml.opening.find_xcrun", lambda: apple)
    monkeypatch.setattr("repvit_nas.coreml.app._SETTLE", 0.0)
    return apple


@pytest.fixture
def xcrun_on_path(elsewhere, monkeypatch, programs):
    """The same Mac behind a program called xcrun, with processes of its own."""
    apple = FakeApple(elsewhere / "apple", noise=0.003)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_APPLE_HOME", str(apple.home))
    return apple


@pytest.mark.slow
def test_a_phone_is_measured_fitted_and_gone_on_with(mac, elsewhere, capsys):
    network = family()["repvit_m0_9"].architecture
    assert load_predictor("iphone12")[0].estimate(network).source == "modelled"

    assert _run([*WORDS], debug=True) == 0

    said = capsys.readouterr()
    assert all(process.stopped for process in mac.started)
    assert not (mac.home / "container").exists()
    assert "so a round about" in said.err
    assert "series iphone13-2_23f84_warm" in said.err
    assert "RMSPE" in said.out
    folder = elsewhere / "latency_lut" / "iphone12"
    assert json.loads((folder / "device.json").read_text())["kind"] == "measured"
    assert {"table.json", "sources.json", "published.csv"} <= {p.name for p in folder.iterdir()}
    predictor, _ = load_predictor("iphone12")
    assert predictor.measured is not None
    assert predictor.estimate(network).source != "measured"  # ten units are not all of a network's
    # A network is timed beside its prediction.
    words = ["measure", "repvit_m0_9", "--device", "iphone12", "--team", "TEAM1", "--json"]
    capsys.readouterr()
    assert _run(words, debug=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"] == "measured"
    assert found["predicted_ms"] == pytest.approx(found["latency_ms"], rel=0.2)
    # New networks are timed on the phone and compared; the app is gone afterwards.
    words = ["validate", "--device", "iphone12", "--networks", "3", "--team", "TEAM1", "--json"]
    assert _run(words, debug=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["checks"]) == 3
    assert all(process.stopped for process in mac.started)
    assert not (mac.home / "container").exists()
    log = folder / "series" / "iphone13-2_23f84_warm" / "visits.jsonl"
    before = log.read_bytes()

    # The same again goes on; another system build begins a series of its own.
    assert _run([*WORDS, "--json"], debug=True) == 0
    assert json.loads(capsys.readouterr().out)["units"] >= 8
    assert log.read_bytes().startswith(before)
    mac.set(build="24A1", noise=0.003)
    assert _run([*WORDS], debug=True) == 0
    assert "from" in capsys.readouterr().err
    assert log.read_bytes().startswith(before)
    assert (folder / "series" / "iphone13-2_24a1_warm").is_dir()


@pytest.mark.usefixtures("mac", "measured_phone")
def test_team_and_udid_are_options_where_a_network_is_timed(capsys):
    """A phone of another identifier is not touched."""
    words = ["measure", "repvit_m0_9", "--device", "iphone12"]

    assert _run([*words, "--team", "TEAM1", "--udid", "elsewhere"], debug=False) == 1
    assert "is connected as elsewhere" in capsys.readouterr().err

    assert _run(words, debug=False) == 1
    assert "--team or REPVIT_NAS_TEAM" in capsys.readouterr().err


@pytest.mark.slow
def test_a_phone_is_measured_by_an_xcrun_on_the_path(xcrun_on_path, elsewhere, capsys):
    assert _run(["doctor", "--device", "iphone12", "--team", "TEAM1"], debug=True) == 0
    said = capsys.readouterr().out
    assert "ok      Apple's tools" in said
    assert "ok      device: iPhone 12" in said
    assert "missing" not in said
    words = [
        "measure-lut", "--device", "iphone12", "--team", "TEAM1", "--units", "8", "--networks", "2",
        "--calibration", "3", "--minutes", "60", "--precision", "0.9",
    ]  # fmt: skip

    assert _run(words, debug=True) == 0

    said = capsys.readouterr()
    assert "series iphone13-2_23f84_warm" in said.err
    assert "RMSPE" in said.out
    document = json.loads((elsewhere / "latency_lut/iphone12/device.json").read_text())
    assert document["kind"] == "measured"
    assert load_predictor("iphone12")[0].measured is not None
    # Nothing is left on the phone, and the app's console is no process any more.
    assert not (xcrun_on_path.home / "container").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((xcrun_on_path.home / "app.pid").read_text()), 0)


def test_a_failure_leaves_the_device_modelled(xcrun_on_path, capsys):
    xcrun_on_path.set(locked=True)

    assert _run([*WORDS], debug=False) == 1

    assert "is locked" in capsys.readouterr().err
    assert xcrun_on_path.calls("devicectl", "device", "process", "launch")
    assert xcrun_on_path.calls()[-1][:4] == ["devicectl", "device", "uninstall", "app"]
    architecture = family()["repvit_m0_9"].architecture
    estimate = load_predictor("iphone12")[0].estimate(architecture)
    assert estimate.source == "modelled"
    assert _run(["devices"], debug=True) == 0


@pytest.mark.usefixtures("mac")
def test_a_damaged_series_is_said_before_a_session_begins(elsewhere, capsys):
    """Not hours later, where the series are combined."""
    home = elsewhere / "latency_lut/iphone12/series/lab"
    home.mkdir(parents=True)
    visit = {"round": 0, "position": 0, "key": "k", "warm": [], "samples": [1.0], "seconds": 1.0}
    (home / "visits.jsonl").write_text(json.dumps(visit) + "\n")

    assert _run([*WORDS], debug=False) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "series/lab/device.json: is missing" in line
    assert "move latency_lut/iphone12/series/lab elsewhere" in line
    assert [path.name for path in home.parent.iterdir()] == ["lab"]
