"""`doctor` and the other commands for phones, with and without a Mac."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_apple import BIN, FakeApple

from repvit_nas.commands import _run

SYSTEM_PATH = "/usr/bin:/bin"


def call(folder, *words, mac=False, path=SYSTEM_PATH, **faults):
    environment = os.environ | {"PATH": path}
    environment.pop("REPVIT_NAS_TEAM", None)
    if mac:
        FakeApple(folder / "apple", **faults)
        # The stand-in is a script: its interpreter must be found too.
        python = str(Path(sys.executable).parent)
        environment["PATH"] = f"{BIN}:{python}:{SYSTEM_PATH}"
        environment["FAKE_APPLE_HOME"] = str(folder / "apple")
    return subprocess.run(
        [sys.executable, "-m", "repvit_nas", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
    )


def test_without_a_mac_the_two_other_ways_are_explained(tmp_path):
    done = call(tmp_path, "measure-lut", "--device", "iphone12")

    assert done.returncode == 1
    assert "measure-lut --device iphone12 --export DIR" in done.stderr
    assert "import-measurements DIR --device iphone12" in done.stderr
    assert "docs/iphone.md" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "latency_lut").exists()


def test_doctor_without_a_mac_says_the_same_and_fails(tmp_path):
    done = call(tmp_path, "doctor")

    assert done.returncode == 1
    assert done.stdout.startswith("missing Apple's tools: xcrun is not on the path")
    assert "--export DIR" in done.stdout


def findings(done):
    return {item["name"]: item for item in json.loads(done.stdout)}


def test_doctor_says_what_is_there_and_what_is_missing(tmp_path):
    done = call(tmp_path, "doctor", "--json", mac=True, developer_mode="disabled")

    found = findings(done)
    assert done.returncode == 1
    assert found["Apple's tools"]["fine"]
    assert found["Xcode"]["said"].startswith("26.5")
    assert found["devicectl"]["fine"]
    assert found["device"]["said"].startswith("iPhone 12 (…0000)")
    assert "Developer Mode is off" in found["settings"]["said"]
    assert found["team"]["fine"] is False
    # The app's source is in coremltools for macOS only.
    if sys.platform != "darwin":
        assert "coremltools for macOS only" in found["runner app"]["said"]


def test_an_xcrun_that_cannot_be_run_is_a_finding(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "xcrun").write_text("no program\n")
    (tools / "xcrun").chmod(0o755)

    asked = call(tmp_path, "doctor", "--team", "TEAM1", path=f"{tools}:{SYSTEM_PATH}")
    timed = call(tmp_path, "measure-lut", "--device", "iphone12", path=f"{tools}:{SYSTEM_PATH}")

    assert (asked.returncode, asked.stderr) == (1, "")
    assert asked.stdout.startswith(f"missing Apple's tools: {tools}/xcrun: cannot be run")
    assert len(asked.stdout.splitlines()) == 1
    assert timed.returncode == 1
    assert timed.stderr.startswith(f"error: {tools}/xcrun: cannot be run")
    assert len(timed.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"simulators_only": True}, "only simulators are listed"),
        ({"developer_mode": "disabled"}, "Developer Mode is off"),
        ({"phones": ["iPhone14,5"]}, "--device iphone13"),
    ],
)
def test_a_fault_is_one_line_and_leaves_nothing(tmp_path, faults, said):
    start = time.monotonic()

    done = call(tmp_path, "measure-lut", "--device", "iphone12", "--team", "T", mac=True, **faults)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start < 60
    assert not list(tmp_path.glob("latency_lut/*/.holder"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doctor", "--device", "nokia"], "Core ML device 'nokia' is not known; known: iphone11"),
        (["measure-lut", "--device", "cpu", "--export", "x"], "'cpu' is none; known: iphone11"),
        (["import-measurements", "nowhere", "--device", "iphone12"], "manifest.json: cannot be"),
        (["import-measurements", ".", "--device", "cpu"], "Core ML device 'cpu' is not known"),
        (
            ["measure-lut", "--device", "iphone12", "--export", "x", "--units", "3"],
            "at least --units 8",
        ),
    ],
)
def test_nonsense_is_one_line(tmp_path, words, said):
    done = call(tmp_path, *words)

    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("words", [["measure", "repvit_m0_9"], ["validate"]])
@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("iphone12", "'iphone12' (iPhone 12 (A14)) is modelled so far"),
        ("ipad10", "'ipad10' (iPad (10th generation)) is not measured so far"),
        ("mac", "'mac' (the Mac at hand) is not measured so far"),
    ],
)
def test_how_a_device_becomes_measured_is_said(elsewhere, capsys, words, device, said):
    assert _run([*words, "--device", device], debug=False) == 1

    line = capsys.readouterr().err
    assert line.startswith(f"error: device {said}")
    assert f"measure-lut --device {device} on " in line
    assert f"measure-lut --device {device} --export DIR" in line
    assert f"import-measurements DIR --device {device}" in line
    assert "--device cpu" not in line
