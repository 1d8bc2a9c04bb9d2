"""`measure-lut --device iphone12` from the command line to a fitted device, on the simulated phone."""

import json
import os
from types import SimpleNamespace

import pytest
from fake_apple import BIN, FakeApple, app_source, simulated_packages
from simulated import SimulatedPhone

from repvit_nas import data
from repvit_nas.commands import _run
from repvit_nas.coreml.publishing import Published
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.series import Contribution, Sources
from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
from repvit_nas.measuring.session import Session
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
    for room in ("app", "doctor", "opening"):
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


@pytest.fixture
def measured_phone(elsewhere):
    """A phone that counts as measured."""
    home = elsewhere / "latency_lut" / "iphone12"
    home.mkdir(parents=True)
    shipped = data.shipped_root() / "latency_lut/iphone12/device.json"
    runtime = {"name": "coreml", "target": "iphone12"}
    changed = {"kind": "measured", "protocol": PROTOCOL_VERSION, "runtime": runtime}
    (home / "device.json").write_text(json.dumps(json.loads(shipped.read_text()) | changed))


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
    table = SimpleNamespace(resolution=224, chosen=None, networks=lambda _: [])
    monkeypatch.setattr("repvit_nas.latency_lut.table.read_table", lambda _: table)
    predictor = "repvit_nas.predictors.predictor.load_predictor"
    monkeypatch.setattr(predictor, lambda _: (None, "a test"))

    assert _run([*words, "--device", "iphone12"], debug=False) == 1

    assert f"{minutes} minutes" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--threads", "4"], "--threads"),
        (["--threads", "1", "--batch", "2", "--title", "Mine"], "--threads, --batch, --title"),
        (["--compile", "--providers", "X"], "--providers, --compile"),
        (["--runtime", "coreml"], "--runtime"),
    ],
)
@pytest.mark.parametrize("device", ["iphone12", "mac"])
def test_options_that_core_ml_does_not_take_are_refused(elsewhere, capsys, device, words, options):
    assert _run(["measure-lut", "--device", device, *words], debug=False) == 2

    said = capsys.readouterr().err
    how = "a Mac, timed by its own Core ML" if device == "mac" else "timed by Core ML"
    assert f"'{device}' is {how}: leave out {options}, which" in said
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mac", "--team", "T"], "its own Core ML: leave out --team, which"),
        (
            ["mac", "--export", "x", "--threads", "2"],
            "--export times nothing: leave out --threads,",
        ),
        (["iphone12", "--export", "x", "--runtime", "torch"], "nothing: leave out --runtime,"),
        (
            ["iphone12", "--export", "x", "--team", "T", "--minutes", "5", "--any-placement"],
            "--export times nothing: leave out --minutes, --team, --any-placement, which",
        ),
    ],
)
def test_options_that_an_export_or_a_mac_does_not_take_are_refused(elsewhere, capsys, words, said):
    assert _run(["measure-lut", "--device", *words], debug=False) == 2

    assert said in capsys.readouterr().err
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("words", [["--runtime", "coreml"], ["--export", "x"]])
def test_core_ml_times_core_ml_devices(elsewhere, capsys, words):
    assert _run(["measure-lut", "--device", "cpu", *words], debug=False) == 1

    said = capsys.readouterr().err
    assert f"{' '.join(words[: 2 - (words[0] == '--export')])} is for Core ML devices" in said
    assert "'cpu' is none; known: iphone" in said
    assert not list(elsewhere.iterdir())


PHONE_OPTIONS = ["--team", "TEAM1", "--udid", "x"]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["measure-lut", "--device", "cpu", *PHONE_OPTIONS], "--team, --udid"),
        (["measure-lut", "--device", "cpu", "--any-placement"], "--any-placement"),
        (["measure-lut", "--device", "mac", "--runtime", "torch", "--team", "T"], "--team"),
        (["measure", "repvit_m0_9", "--device", "cpu-epyc", *PHONE_OPTIONS], "--team, --udid"),
        (["validate", "--device", "cpu-epyc", "--udid", "x"], "--udid"),
    ],
)
def test_options_that_only_core_ml_takes_are_refused(elsewhere, capsys, words, options):
    assert _run(words, debug=False) == 2

    said = capsys.readouterr().err
    assert f"is not timed by Core ML: leave out {options}, which" in said
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    "words",
    [["measure-lut", "--device", "new"], ["validate", "--device", "cpu-epyc", "--space", "no"]],
)
def test_what_a_shell_profile_says_for_phones_is_no_mistake(elsewhere, monkeypatch, capsys, words):
    monkeypatch.setenv("REPVIT_NAS_TEAM", "TEAM1")
    monkeypatch.setenv("REPVIT_NAS_UDID", "x")

    assert _run(words, debug=False) == 1  # what is wrong is another thing

    assert "leave out" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["measure", "repvit_m0_9"], ["validate"]])
@pytest.mark.usefixtures("measured_phone")
def test_without_a_mac_a_measured_phone_is_not_said_to_be_modelled(monkeypatch, capsys, words):
    """Its reports were imported: to export again is no way to time one network."""
    table = SimpleNamespace(resolution=224, chosen=None, networks=lambda _: [])
    monkeypatch.setattr("repvit_nas.latency_lut.table.read_table", lambda _: table)
    predictor = "repvit_nas.predictors.predictor.load_predictor"
    monkeypatch.setattr(predictor, lambda _: (None, "a test"))
    monkeypatch.setattr("repvit_nas.coreml.opening.find_xcrun", lambda: None)

    assert _run([*words, "--device", "iphone12"], debug=False) == 1

    said = capsys.readouterr().err.splitlines()[-1]
    assert "xcrun is not on the path" in said
    assert "repvit-nas predict ARCH --device iphone12" in said
    assert "--export" not in said
    assert "modelled" not in said


@pytest.mark.usefixtures("measured_phone")
def test_without_a_mac_the_other_ways_do_not_call_a_measured_phone_modelled(capsys, monkeypatch):
    monkeypatch.setattr("repvit_nas.coreml.opening.find_xcrun", lambda: None)

    assert _run(["measure-lut", "--device", "iphone12"], debug=False) == 1

    said = capsys.readouterr().err
    assert "--export DIR" in said
    assert "modelled" not in said


def test_another_phone_of_the_model_is_told_to_begin_a_series(tmp_path, measured_phone):
    device = load_device("iphone12")
    runner = SimpleNamespace(circumstances=lambda: {"phone": "1234"})

    with pytest.raises(RepvitNasError, match="'1234' here.*measure-lut --device iphone12, which"):
        Session(tmp_path / "s", runner).same_machine(device)


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


@pytest.mark.parametrize(("units", "said"), [(1, "1 unit, 2 networks"), (2, "2 units, 2 networks")])
def test_one_unit_is_not_called_units(units, said):
    source = Contribution(series="lab", units=units, networks=2)
    device = SimpleNamespace(file=SimpleNamespace(kind="measured"))
    published = Published(device, Sources(sources=(source,)), units, 2)

    assert list(published.said()) == [f"series lab: {said}"]
