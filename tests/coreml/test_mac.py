"""The Mac as a Core ML device, on a stand-in for coremltools' loading, and on a real one if this is one."""

import gc
import json
import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from fake_apple import simulated_packages
from fake_core_ml import MAC, FakeCoreMl
from simulated import true_cost_ms, true_latency_ms

from repvit_nas.commands import _run
from repvit_nas.coreml.exporting import device_plan
from repvit_nas.coreml.mac import OnMac, examine_mac, find_mac, loads_models, this_mac
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.opening import open_place, ready_mac
from repvit_nas.coreml.place import RefusedError
from repvit_nas.coreml.products import product
from repvit_nas.coreml.runner import LOOP, WARM_UP, CoreMlRunner
from repvit_nas.coreml.session import GatedSession, check_same_model, own_series
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.latency_lut.placement import PLACEMENTS_FILE, off_the_engine, read_placements
from repvit_nas.latency_lut.series import read_series, series_folder
from repvit_nas.measuring.campaign import Wishes, measure
from repvit_nas.measuring.session import Limits
from repvit_nas.programs import chain
from repvit_nas.search_space.space import load_space
from repvit_nas.units import Block, Ffn

ANY = product("mac")
AIR = product("macbook-air-m2")
WISHES = Wishes(units=12, calibration=3, held_out=3, isolated=False, seed=0)
LIMITS = Limits(minutes=600, precision=0.9)
_no_mac = pytest.mark.skipif(sys.platform != "darwin", reason="needs a Mac")


def quiet(*_):
    """Tell nobody."""


def shape(unit):
    channels = getattr(unit, "c_in", None) or unit.width
    return (channels, 1, 1)


def opened(tools, folder, *, mac=MAC, **options):
    return CoreMlRunner(
        OnMac(mac, tools), folder, writer=simulated_packages, shape=shape, **options
    )


def run(tools, folder, *, mac=MAC):
    space, _ = load_space("repvit")
    plan = device_plan(space, WISHES, at_once=False)
    runner = opened(tools, folder / ".programs", mac=mac)
    home = series_folder(folder, runner.series())
    home.mkdir(parents=True, exist_ok=True)
    runner.keep_placements(home / PLACEMENTS_FILE)
    session = GatedSession(home, runner)
    session.claim("mac", "", RuntimeSpec("coreml", target="mac"), plan.resolution)
    measure(session, session.plan(plan), space, WISHES, limits=LIMITS, progress=quiet)
    for number in range(2, 6):
        session._round(session.plan(plan), number, LIMITS, quiet)
    return session


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices") / "mac"
    folder.mkdir()
    tools = FakeCoreMl()
    return folder, tools, run(tools, folder)


def test_true_costs_are_inside_their_intervals(measured):
    folder, _, session = measured
    (series,) = read_series(folder, "mac")

    assert series.name == session.folder.name == "mac14-2_24f74_warm"
    blocks = [row for row in series.table.units if isinstance(row.unit, Block | Ffn)]
    assert len(blocks) >= 6
    true = [true_cost_ms(row.unit) for row in blocks]
    inside = [row.low_ms <= value <= row.high_ms for row, value in zip(blocks, true, strict=True)]
    assert np.mean(inside) >= 0.7
    for row, value in zip(blocks, true, strict=True):
        assert row.latency_ms == pytest.approx(value, rel=0.004)


def test_every_program_is_loaded_once_a_visit_and_unloaded(measured):
    _, tools, session = measured
    gc.collect()

    assert tools.loads == len(session.visits) + 1  # and the probe
    assert len(tools.live) == 0
    assert tools.most_live == 1


def test_a_visit_is_one_warm_loop_of_half_precision_values(tmp_path):
    tools = FakeCoreMl(noise=0.0)
    runner = opened(tools, tmp_path)
    tools.taken.clear()

    with runner.load(chain(Ffn(32, 64, 14), 2)) as calls:
        series = calls(10)

    assert len(tools.taken) == WARM_UP + LOOP
    assert set(tools.taken) == {((1, 32, 1, 1), "float32")}  # coremltools would copy half into that
    true = true_latency_ms(chain(Ffn(32, 64, 14), 2).units)
    assert max(series) < 1.001 * true  # none of them cold
    assert runner.probe.warm


def test_programs_on_the_cpu_are_kept_and_marked(tmp_path):
    unit = Ffn(64, 256, 28)
    limit = true_latency_ms(chain(unit, 2).units) * 1.01
    runner = opened(FakeCoreMl(cpu_below_ms=limit), tmp_path, placements=tmp_path / PLACEMENTS_FILE)
    for length in (2, 6):
        with runner.load(chain(unit, length)) as calls:
            calls(1)

    found = read_placements(tmp_path / PLACEMENTS_FILE)

    assert off_the_engine(found) == {chain(unit, 2).key}
    assert found[chain(unit, 2).key].preferred == {"cpu": 3}
    assert found[chain(unit, 2).key].elsewhere == ("conv_1", "gelu_2", "add_3")
    assert found[chain(unit, 6).key].preferred == {"neuralEngine": 3}


def test_another_system_build_starts_a_series_of_its_own(measured):
    folder, _, session = measured
    before = session.log.path.read_bytes()

    other = opened(FakeCoreMl(), folder / ".programs", mac=MAC._replace(build="25A1"))

    assert other.series() == "mac14-2_25a1_warm"
    assert session.log.path.read_bytes() == before


def test_another_coremltools_starts_a_series_of_its_own(measured):
    """The one before is neither in the way nor to be removed."""
    folder, tools, session = measured
    before = session.log.path.read_bytes()
    newer = FakeCoreMl()
    newer.__version__ = "99.0"
    runner = opened(newer, folder / ".programs")
    plan = session.plan(device_plan(load_space("repvit")[0], WISHES, at_once=False))

    home = own_series(folder, runner, plan)

    assert home.name == f"{session.folder.name}_2"
    home.mkdir()
    GatedSession(home, runner).claim("mac", "", RuntimeSpec("coreml", target="mac"), 224)
    assert own_series(folder, runner, plan) == home
    assert own_series(folder, opened(tools, folder / ".programs"), plan) == session.folder
    larger = msgspec.structs.replace(plan, resolution=256)
    assert own_series(folder, runner, larger).name == f"{session.folder.name}_3"
    assert session.log.path.read_bytes() == before


def test_two_models_never_share_a_folder(measured):
    folder, _, _ = measured
    check_same_model(folder, "Apple M2 (Mac14,2)")

    with pytest.raises(
        RepvitNasError, match=r"measured on Apple M2 \(Mac14,2\), and this is Apple M4"
    ):
        check_same_model(folder, "Apple M4 (Mac16,10)")


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"refuses": "Failed to build the model execution plan"}, "refused .*execution plan"),
        ({"silent": True}, "must say how long a prediction took.*got None"),
    ],
)
def test_what_core_ml_refuses_is_said(tmp_path, faults, said):
    with pytest.raises(RepvitNasError, match=said):
        opened(FakeCoreMl(**faults), tmp_path)


def test_a_program_that_core_ml_does_not_run_is_refused_by_name(tmp_path):
    tools = FakeCoreMl()
    runner = opened(tools, tmp_path, placements=tmp_path / PLACEMENTS_FILE)
    timed = chain(Ffn(32, 64, 14), 2)
    tools.fails = "Unable to compute the prediction using ML Program.\nIt can be an invalid input."

    with (
        pytest.raises(
            RefusedError, match=f"cannot run {program_name(timed)}.mlpackage: .* It can"
        ) as error,
        runner.load(timed) as calls,
    ):
        calls(1)

    assert "\n" not in str(error.value)


def test_a_program_is_not_to_blame_for_a_plan_that_cannot_be_read(tmp_path):
    tools = FakeCoreMl(no_plan="Compute plan\nis not there.")
    runner = opened(tools, tmp_path, placements=tmp_path / PLACEMENTS_FILE)
    timed = chain(Ffn(32, 64, 14), 2)

    with (
        pytest.raises(
            RepvitNasError, match=r"ffn-.*\.mlpackage: .*got Compute plan is not"
        ) as error,
        runner.load(timed),
    ):
        pass

    assert not isinstance(error.value, RefusedError)
    assert "\n" not in str(error.value)
    assert not read_placements(tmp_path / PLACEMENTS_FILE)


def test_a_mac_says_what_it_is():
    answers = {
        "sysctl -n hw.model": "Mac14,2\n",
        "sysctl -n machdep.cpu.brand_string": "Apple M2\n",
        "sw_vers -productVersion": "15.5\n",
        "sw_vers -buildVersion": "24F74\n",
    }

    assert this_mac(lambda words: answers[" ".join(words)]) == MAC


def test_whether_coremltools_loads_models_is_seen_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "coremltools"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('imported')")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "coremltools", raising=False)

    assert not loads_models()
    (package / "libcoremlpython.so").write_bytes(b"")
    assert loads_models()


@pytest.mark.parametrize(
    ("wanted", "mac", "loads", "name", "said"),
    [
        (ANY, MAC, True, "", ""),
        (AIR, MAC, True, "", ""),
        (ANY, MAC._replace(chip="Intel(R) Core(TM) i7"), True, "Neural Engine", "Apple silicon"),
        (ANY, MAC._replace(version="13.6"), True, "macOS", "14.4 or newer"),
        (ANY, MAC, False, "coremltools", "cannot load models"),
        (product("mac-mini-m1"), MAC, True, "Mac", "--device mac or --device macbook-air-m2"),
    ],
)
def test_what_is_missing_is_named(wanted, mac, loads, name, said):
    findings = {item.name: item for item in examine_mac(wanted, mac, loads=loads)}

    missing = [item.name for item in findings.values() if item.fine is False]
    assert missing == ([name] if name else [])
    assert not name or said in findings[name].said


def test_a_missing_thing_stops_the_command():
    with pytest.raises(RepvitNasError, match="macOS: 12.1: 14.4 or newer"):
        ready_mac(ANY, MAC._replace(version="12.1"))


@pytest.mark.slow
def test_a_mac_is_measured_fitted_and_named_by_its_device(elsewhere, monkeypatch, capsys):
    runner = "repvit_nas.coreml.runner"
    monkeypatch.setattr("repvit_nas.coreml.opening.find_mac", lambda: MAC)
    monkeypatch.setattr("repvit_nas.coreml.mac.loads_models", lambda: True)
    monkeypatch.setattr("repvit_nas.coreml.opening.core_ml", FakeCoreMl)
    monkeypatch.setattr(f"{runner}.write_packages", simulated_packages)
    monkeypatch.setattr(f"{runner}._input_shape", shape)
    words = [
        "measure-lut", "--device", "mac", "--units", "8", "--networks", "2", "--calibration", "3",
        "--precision", "0.9",
    ]  # fmt: skip

    assert _run(words, debug=True) == 0

    said = capsys.readouterr()
    assert "device: Mac14,2, Apple M2, macOS 15.5 (24F74)" in said.err
    assert "series mac14-2_24f74_warm" in said.err
    assert "RMSPE" in said.out
    document = json.loads((elsewhere / "latency_lut/mac/device.json").read_text())
    assert document["kind"] == "measured"
    assert document["circumstances"]["processor"] == "Apple M2 (Mac14,2)"
    assert document["circumstances"]["os"] == "macOS 15.5 (24F74)"
    assert _run(["predict", "repvit_m0_9", "--device", "mac", "--json"], debug=True) == 0
    assert json.loads(capsys.readouterr().out)["latency_ms"] > 0


def call(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "repvit_nas", *words], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PATH": "/usr/bin:/bin"},
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "darwin", reason="says what machines other than Macs are told")
def test_elsewhere_the_two_other_ways_are_explained(tmp_path):
    done = call(tmp_path, "measure-lut", "--device", "mac")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "this is no Mac" in done.stderr
    assert "measure-lut --device mac --export DIR" in done.stderr
    assert "import-measurements DIR --device mac" in done.stderr
    assert not (tmp_path / "latency_lut").exists()
    asked = call(tmp_path, "doctor", "--device", "mac")
    assert asked.returncode == 1
    assert asked.stdout.startswith("missing Mac: this is no Mac")


@pytest.mark.mac
@_no_mac
def test_this_mac_lacks_nothing():
    assert [item for item in examine_mac(ANY, find_mac()) if item.fine is False] == []


@pytest.mark.mac
@_no_mac
def test_a_chain_is_timed_on_this_mac(tmp_path):
    place = open_place(ANY, tmp_path, team="")
    runner = CoreMlRunner(place, tmp_path, placements=tmp_path / PLACEMENTS_FILE)
    medians = []
    for copies in (2, 16):
        with runner.load(chain(Block(48, 96, 16, 3, 56), copies)) as calls:
            medians.append(float(np.median(calls(40))))

    assert 0 < medians[0] < medians[1] < 1000
    found = read_placements(tmp_path / PLACEMENTS_FILE)
    assert all(item.preferred for item in found.values())
    assert runner.series().endswith("_warm")
    assert msgspec.json.encode(runner.circumstances())
