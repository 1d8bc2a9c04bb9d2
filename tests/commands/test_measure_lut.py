"""measure-lut, measure, validate, fit and search on this very machine, in a space of small networks."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from repvit_nas.architecture import Architecture, Stage, write_architecture
from repvit_nas.predictors.lookup import SOURCES

SPACE = """
schema = 1
name = "small"
[resolution]
default = 64
min = 32
max = 96
[[stages]]
width = { min = 16, max = 32, step = 8 }
depth = { min = 1, max = 2 }
se = ["none", "all"]
expansion = [2.0]
[[stages]]
width = { min = 32, max = 48, step = 8 }
depth = { min = 1, max = 2 }
se = ["none", "all"]
expansion = [1.5, 2.0]
[[stages]]
width = { min = 48, max = 64, step = 8 }
depth = { min = 2, max = 4 }
se = ["none", "alternate"]
expansion = [2.0, 3.0]
[[stages]]
width = { min = 64, max = 96, step = 8 }
depth = { min = 1, max = 2 }
se = ["none"]
expansion = [2.0]
"""
SMALL = ["--units", "10", "--networks", "4", "--calibration", "3", "--space", "small.toml"]
QUICK = [*SMALL, "--minutes", "3", "--precision", "0.9"]


def call(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "repvit_nas", *words],
        cwd=folder,
        env=os.environ | {"COLUMNS": "160"},  # wide enough for headers in one line
        capture_output=True,
        text=True,
    )


def answer(folder, *words):
    done = call(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which this processor was measured."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "small.toml").write_text(SPACE)
    done = call(folder, "measure-lut", "--device", "cpu", *QUICK)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def network(home):
    folder, _ = home
    stages = tuple(
        Stage(width=w, depth=d, se="0" * d) for w, d in ((24, 1), (40, 1), (56, 2), (80, 1))
    )
    path = folder / "mine.json"
    write_architecture(path, Architecture(name="mine", stages=stages, resolution=64))
    return "mine.json"


@pytest.mark.slow
def test_a_device_is_measured_fitted_and_validated(home):
    folder, done = home

    for word in ("RMSPE", "MACs alone", "sum of isolated units", "Noise floor", "Kendall"):
        assert word in done.stdout
    assert sorted(p.name for p in (folder / "latency_lut" / "cpu").iterdir() if p.name[0] != ".") == [
        "device.json", "plan.json", "table.json", "visits.jsonl",
    ]  # fmt: skip
    written = {path.name for path in (folder / "predictors" / "cpu").iterdir()}
    assert written == {
        "assumptions.json", "predictor.json", "residual.npz", "validation.json", "validation.png",
    }  # fmt: skip
    circumstances = json.loads((folder / "latency_lut" / "cpu" / "device.json").read_text())
    assert {"processor", "cores", "os", "runtime", "threads", "precision", "batch", "date"} <= (
        circumstances["circumstances"].keys()
    )


@pytest.mark.slow
def test_the_same_command_again_goes_on(home):
    folder, _ = home
    before = (folder / "latency_lut" / "cpu" / "visits.jsonl").read_bytes()

    found = answer(folder, "measure-lut", "--device", "cpu", *QUICK)

    assert found["device"] == "cpu"
    assert found["scores"]["predictor"]["networks"] == 4
    after = (folder / "latency_lut" / "cpu" / "visits.jsonl").read_bytes()
    assert after.startswith(before)


@pytest.mark.slow
def test_a_network_is_measured_beside_its_prediction(home, network):
    folder, _ = home

    found = answer(folder, "measure", network, "--device", "cpu", "--minutes", "0.2")

    assert found["source"] == "measured"
    assert found["low_ms"] <= found["latency_ms"] <= found["high_ms"]
    assert found["predicted_ms"] == pytest.approx(found["latency_ms"], rel=0.5)
    told = call(folder, "predict", network, "--device", "cpu", "--space", "small.toml")
    # Ten units may leave a network's own outside what was timed; what it is, is said.
    assert any(source in told.stdout for source in SOURCES)


@pytest.mark.slow
def test_predictions_are_validated_on_new_networks(home):
    folder, _ = home

    found = answer(
        folder, "validate", "--device", "cpu", "--networks", "3", "--minutes", "0.2",
        "--space", "small.toml",
    )  # fmt: skip

    assert found["scores"]["predictor"]["networks"] == 3
    assert found["scores"]["predictor"]["mape"] < 50
    assert "MACs alone" in found["scores"]


@pytest.mark.slow
def test_a_measured_device_is_searched(home, network):
    folder, _ = home
    budget = answer(
        folder, "predict", network, "--device", "cpu", "--space", "small.toml"
    )["latency_ms"]  # fmt: skip

    found = answer(
        folder, "search", "--budget-ms", str(1.5 * budget), "--device", "cpu", "--trials", "100",
        "--space", "small.toml", "--out", "run",
    )  # fmt: skip

    assert found["best"]["latency_ms"] <= 1.5 * budget
    assert {entry["source"] for entry in found["front"]} <= set(SOURCES)
    assert found["best"]["source"] in (folder / "run" / "README.md").read_text()


@pytest.mark.slow
def test_it_is_fitted_again_and_listed(home):
    folder, _ = home

    fitted = answer(folder, "fit", "--device", "cpu")
    listed = {device["device"]: device for device in answer(folder, "devices")}

    assert listed["cpu"]["kind"] == "measured"
    assert listed["cpu"]["left_out_percent"] == fitted["scores"]["predictor"]["mape"]


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_kill_9_loses_nothing(tmp_path, request):
    (tmp_path / "small.toml").write_text(SPACE)
    words = [
        sys.executable, "-m", "repvit_nas", "measure-lut", "--device", "cpu", *SMALL,
        "--runtime", "torch", "--torch-device", "cpu", "--minutes", "9", "--precision", "0.0001",
    ]  # fmt: skip
    log = tmp_path / "latency_lut" / "cpu" / "visits.jsonl"

    def started():
        child = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        request.addfinalizer(lambda: (child.kill(), child.wait()))
        lines = log.read_bytes().count(b"\n") if log.is_file() else 0
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if log.is_file() and log.read_bytes().count(b"\n") > lines + 10:
                return child
            time.sleep(0.05)
        child.kill()
        raise AssertionError(child.communicate())

    child = started()
    second = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert second.returncode == 1
    assert f"process {child.pid}" in second.stderr

    child = started()
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    kept = log.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]

    child = started()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert log.read_bytes().startswith(kept)


@pytest.mark.slow
def test_what_a_measurement_of_too_little_says_is_accepted_and_all_that_was_timed_counts(tmp_path):
    """The least that is taken, then more of each: the plan is extended, no visit is lost."""
    (tmp_path / "small.toml").write_text(SPACE)
    log = tmp_path / "latency_lut" / "cpu" / "visits.jsonl"
    words = ["measure-lut", "--device", "cpu", "--space", "small.toml", "--minutes", "4"]
    words += ["--precision", "0.9", "--no-isolated"]
    sizes = [(8, 2, 3), (16, 2, 3), (16, 3, 4)]
    kept = b""
    for units, networks, calibration in sizes:
        asked = ["--units", units, "--networks", networks, "--calibration", calibration]
        done = call(tmp_path, *words, *map(str, asked))
        if done.returncode:  # the smallest units of a quick machine may not be told from nothing
            assert units == sizes[0][0], done.stderr
            assert "measure-lut again with --units" in done.stderr
        assert log.read_bytes().startswith(kept)
        assert len(log.read_bytes()) > len(kept)
        kept = log.read_bytes()

    less = call(tmp_path, *words, "--units", "8", "--networks", "3", "--calibration", "4")
    assert less.returncode == 1
    assert "give at least --units 16" in less.stderr


@pytest.mark.slow
def test_two_measurements_of_one_machine_under_two_names_take_turns(tmp_path, request):
    """Two at once would spoil each other's times."""
    (tmp_path / "small.toml").write_text(SPACE)
    (tmp_path / "temporary").mkdir()

    def measuring(device):
        words = ["measure-lut", "--device", device, *SMALL, "--threads", "1"]
        words += ["--minutes", "9", "--precision", "0.0001"]
        with (tmp_path / device).open("w") as said:
            child = subprocess.Popen(
                [sys.executable, "-m", "repvit_nas", *words],
                cwd=tmp_path,
                env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
                stderr=said,
            )
        request.addfinalizer(lambda: (child.kill(), child.wait()))
        return child, tmp_path / "latency_lut" / device / "visits.jsonl"

    def until(happened):
        deadline = time.monotonic() + 120
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    first, log = measuring("cpu")
    until(lambda: log.is_file() and log.read_bytes().count(b"\n") > 5)
    second, other = measuring("cpu-2")
    until(lambda: "takes times on this machine; waiting" in (tmp_path / "cpu-2").read_text())
    time.sleep(1)
    assert not other.exists()

    first.send_signal(signal.SIGINT)
    first.wait()
    until(lambda: other.is_file() and other.read_bytes().count(b"\n") > 5)
    assert log.read_bytes().count(b"\n") > 5
    second.send_signal(signal.SIGINT)
    second.wait()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["measure-lut", "--device", "gpu"], "say what times it with --runtime"),
        (["measure-lut", "--device", "cpu", "--runtime", "tvm"], "known: onnxruntime, torch"),
        (["measure-lut", "--device", "cpu", "--minutes", "0"], "--minutes must be above 0"),
        (["measure-lut", "--device", "cpu", "--minutes", "nan"], "--minutes must be above 0"),
        (["measure-lut", "--device", "cpu", "--units", "3"], "at least --units 8"),
        (["measure-lut", "--device", "cpu", "--networks", "1"], "--networks 2"),
        (["measure-lut", "--device", "cpu", "--space", "nowhere"], "nowhere"),
        (["measure-lut", "--device", "../x"], "small letters"),
        (["measure-lut", "--device", "iphone12"], "its latencies are modelled"),
        (
            ["measure-lut", "--device", "cpu", "--runtime", "torch", "--providers", "X"],
            "does not take --providers",
        ),
        (["measure-lut", "--device", "cpu", "--resolution", "7"], "resolution"),
        (["measure-lut", "--device", "cpu", "--output", "sam-fused"], "give --output sam"),
        (
            ["measure-lut", "--device", "cpu", "--output", "sam", "--resolution", "500"],
            "resolution must be a multiple of 16 where output is sam; got 500",
        ),
        (
            ["measure-lut", "--device", "cpu", "--output", "features", "--isolated"],
            "--isolated is for networks of classes",
        ),
        (["path", "--device", "iphone12", "--measure"], "is modelled so far, and only"),
        (["path", "--minutes", "1"], "--minutes is of --measure"),
        (["measure", "repvit_m0_9", "--device", "nokia"], "device 'nokia' is not known"),
        (["measure", "repvit_m0_9", "--device", "iphone12"], "is modelled so far, and only"),
        (["measure", "nothing", "--device", "cpu"], "is no network"),
        (["validate", "--device", "iphone13"], "is modelled"),
        (["validate", "--device", "cpu", "--networks", "0"], "--networks must be 2 or more"),
    ],
)
def test_nonsense_is_one_line(tmp_path, words, said):
    done = call(tmp_path, *words)

    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "latency_lut").exists() or not any(
        (tmp_path / "latency_lut").rglob("*.json")
    )


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    """A folder in which this processor was measured by networks that hand back maps."""
    folder = tmp_path_factory.mktemp("backbones")
    (folder / "small.toml").write_text(SPACE)
    done = call(folder, "measure-lut", "--device", "cpu", *QUICK, "--output", "features")
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.slow
def test_a_device_is_measured_by_backbones(backbones):
    folder, done = backbones
    home = folder / "latency_lut" / "cpu"
    table = json.loads((home / "table.json").read_text())
    networks = [row["architecture"] for row in table["rows"] if row["type"] == "network"]

    assert "4 random networks with output features that no fit saw" in " ".join(done.stdout.split())
    assert json.loads((home / "device.json").read_text())["circumstances"]["output"] == "features"
    assert {network["output"] for network in networks} == {"features"}
    assert not any(row["type"] == "isolated" for row in table["rows"])


@pytest.mark.slow
def test_its_predictor_prices_backbones_and_classifiers(backbones):
    folder, _ = backbones
    stages = tuple(Stage(width=w, depth=1, se="0") for w in (24, 40, 56, 80))
    write_architecture(folder / "mine.json", Architecture(stages=stages, resolution=64))
    words = ("measure", "mine.json", "--device", "cpu", "--minutes", "0.2")

    for output in ("features", "logits"):
        found = answer(folder, *words, "--output", output)
        assert found["predicted_ms"] == pytest.approx(found["latency_ms"], rel=0.5)
    afresh = answer(
        folder, "validate", "--device", "cpu", "--networks", "3", "--minutes", "0.2",
        "--space", "small.toml",
    )  # fmt: skip
    assert afresh["output"] == "features"
    assert afresh["scores"]["predictor"]["mape"] < 50


@pytest.mark.slow
def test_a_table_of_one_output_is_not_gone_on_with_by_another(backbones):
    folder, _ = backbones
    before = (folder / "latency_lut" / "cpu" / "visits.jsonl").read_bytes()

    done = call(folder, "measure-lut", "--device", "cpu", *QUICK)

    assert done.returncode == 1
    assert "output is 'features' there and 'logits' here" in done.stderr
    assert "choose another --device name" in done.stderr
    assert (folder / "latency_lut" / "cpu" / "visits.jsonl").read_bytes() == before


@pytest.mark.slow
def test_the_path_is_timed_step_by_step(home):
    folder, _ = home

    rows = answer(folder, "path", "--device", "cpu", "--measure", "--minutes", "0.6")

    assert [row["step"] for row in rows] == [*"0123", "3b", *"456789"]
    by_step = {row["step"]: row for row in rows}
    assert all(
        row["measured_low_ms"] <= row["measured_ms"] <= row["measured_high_ms"] for row in rows
    )
    # Twice the depth is not to be missed, however busy the machine.
    assert by_step["7"]["measured_ms"] > by_step["6"]["measured_ms"]
    assert by_step["7"]["measured_step_ms"] == pytest.approx(
        by_step["7"]["measured_ms"] - by_step["6"]["measured_ms"]
    )
    assert {row["published_ms"] for row in rows} == {None}
