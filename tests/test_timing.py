import json

import pytest

from repvit_nas import data
from repvit_nas.architecture import Architecture, Stage, with_output
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec, load_device
from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
from repvit_nas.latency_lut.table import TABLE_FILE, write_table
from repvit_nas.measuring.campaign import network_plan, time_networks
from repvit_nas.measuring.runners import open_runner
from repvit_nas.measuring.session import Limits, Session
from repvit_nas.timing import Access, measured_device, network_limits, time_on

STAGES = ((16, 1), (24, 1), (32, 2), (48, 1))
SMALL = Architecture(
    name="small",
    resolution=32,
    stages=tuple(Stage(width=width, depth=depth, se="0" * depth) for width, depth in STAGES),
)
QUICK = Limits(3, 0.9)


def silent(*_):
    """Nobody watches."""


@pytest.fixture
def cpu(elsewhere):
    """This processor, measured by torch as far as a comparison needs it."""
    folder = elsewhere / "latency_lut" / "cpu"
    spec = RuntimeSpec("torch", 1)
    session = Session(folder, open_runner(spec))
    folder.mkdir(parents=True)
    session.claim("cpu", "", spec, 32)
    table = time_networks(session, network_plan([SMALL], seed=0), QUICK, silent, None)
    write_table(folder / TABLE_FILE, table)
    return folder


def rewrite(folder, **changes):
    path = folder / "device.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_network_is_timed_and_nothing_is_kept(cpu):
    before = sorted(cpu.rglob("*"))
    device = measured_device("cpu")

    timed = time_on(device, [SMALL], QUICK, silent)

    (row,) = timed.table.networks("held_out")
    assert row.low_ms <= row.latency_ms <= row.high_ms
    assert not timed.off
    assert not timed.ran_off(SMALL)
    assert timed.on_engine is timed.table
    assert sorted(cpu.rglob("*")) == before
    assert network_limits(device).minutes == 1.0


def test_another_machines_device_is_refused(cpu):
    known = json.loads((cpu / "device.json").read_text())["circumstances"]
    rewrite(cpu, circumstances=known | {"processor": "Cray-1"})

    with pytest.raises(RepvitNasError, match="measured under other circumstances.*Cray-1"):
        time_on(load_device("cpu"), [SMALL], QUICK, silent)


def test_a_modelled_device_is_not_timed():
    with pytest.raises(RepvitNasError, match="states no runtime; measure the device first"):
        time_on(load_device("iphone12"), [SMALL], QUICK, silent)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("iphone12", "is modelled so far.*measure-lut --device iphone12 on a Mac"),
        ("mac", "is not measured so far.*on that Mac"),
        ("iphon12", "is not known"),
    ],
)
def test_what_makes_a_device_one_that_can_be_timed_is_said(elsewhere, name, said):
    with pytest.raises(RepvitNasError, match=said):
        measured_device(name)


def test_a_phone_needs_a_mac(elsewhere):
    home = elsewhere / "latency_lut" / "iphone12"
    home.mkdir(parents=True)
    shipped = json.loads((data.shipped_root() / "latency_lut/iphone12/device.json").read_text())
    runtime = {"name": "coreml", "target": "iphone12"}
    changed = {"kind": "measured", "protocol": PROTOCOL_VERSION, "runtime": runtime}
    (home / "device.json").write_text(json.dumps(shipped | changed))
    phone = measured_device("iphone12")

    assert network_limits(phone).minutes == 10.0
    with pytest.raises(RepvitNasError, match="Mac"):
        time_on(phone, [SMALL], QUICK, silent, access=Access("TEAM1"))


def test_a_neck_that_takes_two_maps_is_not_timed(cpu):
    with pytest.raises(RepvitNasError, match="is not timed; give --output sam"):
        time_on(load_device("cpu"), [with_output(SMALL, "sam-fused")], QUICK, silent)
