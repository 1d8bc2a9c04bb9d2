import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import msgspec
import pytest
from simulated import quiet, session_in, true_cost_ms, true_latency_ms
from support import ROOT

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.device import DeviceFile, load_device
from repvit_nas.latency_lut.plan import Plan
from repvit_nas.latency_lut.table import build_table, read_table, slower_now
from repvit_nas.measuring.campaign import (
    Wishes,
    first_plan,
    measure,
    network_plan,
    sentinel,
)
from repvit_nas.measuring.session import Limits, Session, device_folder
from repvit_nas.programs import network
from repvit_nas.search_space import load_space

WISHES = Wishes(units=24, calibration=6, held_out=6, isolated=True, seed=0)
LIMITS = Limits(minutes=2.0, precision=0.0)
ENOUGH = Limits(minutes=20.0, precision=1.0)


def run(folder, *, wishes=WISHES, limits=LIMITS, progress=quiet, **truth):
    space, _ = load_space("repvit")
    session = session_in(folder, **truth)
    plan = session.plan(first_plan(space, wishes))
    table = measure(session, plan, space, wishes, limits=limits, progress=progress)
    return session, table


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    return *run(folder), folder


def test_costs_are_recovered_within_their_intervals(finished):
    """Noise, spikes in one call of twenty and cold starts notwithstanding."""
    _, table, _ = finished
    inside = []
    for row in table.units:
        truth = true_cost_ms(row.unit) + 0.05 * row.calls
        # The simulated noise only ever adds, by 0.8 % in the mean and next to nothing at best.
        assert row.latency_ms == pytest.approx(truth, rel=0.05, abs=0.02), row
        inside.append(row.low_ms <= 1.01 * truth and truth * 0.99 <= row.high_ms)

    assert len(table.units) == 24
    assert sum(inside) >= 0.8 * len(inside)


def test_networks_and_lone_units_are_what_they_took(finished):
    _, table, _ = finished

    for row in table.networks("held_out"):
        truth = true_latency_ms(network(row.architecture).units)
        assert row.latency_ms == pytest.approx(truth, rel=0.02)
    assert len(table.networks("calibration")) == 6
    assert len(table.isolated) > 50
    for unit, alone in table.isolated.items():
        assert alone > true_cost_ms(unit)


def test_visits_without_a_device_are_nobodys(finished, tmp_path):
    _, _, folder = finished
    (tmp_path / "visits.jsonl").write_bytes((folder / "visits.jsonl").read_bytes())

    with pytest.raises(RepvitNasError, match=r"device\.json: is missing, but visits\.jsonl"):
        session_in(tmp_path)


def test_a_machine_that_became_slower_is_noticed(finished):
    """By its sentinel, whose latency the table keeps."""
    _, table, folder = finished
    plan = files.read_json(folder / "plan.json", Plan)

    assert table.sentinel_ms == pytest.approx(
        true_latency_ms(network(plan.sentinel).units), rel=0.02
    )
    assert slower_now(table, table) == ""
    slow = msgspec.structs.replace(table, sentinel_ms=1.5 * table.sentinel_ms)
    assert "1.50 times" in slower_now(table, slow)
    assert "0.67 times" in slower_now(slow, table)


def test_the_first_rounds_choose_where_to_go_on(finished):
    session, _, folder = finished
    plan = files.read_json(folder / "plan.json", Plan)
    by_round = {}
    for visit in session.visits:
        by_round.setdefault(visit.round, set()).add(visit.key)

    assert plan.explored
    assert len(plan.units) == len(set(plan.units)) == 24
    assert {type(unit).__name__ for unit in plan.units} == {
        "Block", "Stem", "Ffn", "Downsample", "Head",
    }  # fmt: skip
    assert len(by_round) >= 3


def test_lone_units_are_timed_in_the_first_rounds_only(finished):
    session, _, folder = finished
    plan = files.read_json(folder / "plan.json", Plan)
    sizes = [sum(v.round == number for v in session.visits) for number in range(4)]

    assert sizes[0] > len(plan.isolated_units())
    assert sizes[2] < len(plan.isolated_units()) < sizes[1]
    assert sizes[2] == sizes[3]


def test_the_same_command_again_changes_nothing(finished):
    _, table, folder = finished
    before = (folder / "table.json").read_bytes()

    session, again = run(folder)

    assert again == table
    assert (folder / "table.json").read_bytes() == before
    assert session._runner.now == 0.0


def test_more_minutes_add_rounds(finished, tmp_path):
    _, table, folder = finished
    for name in ("device.json", "plan.json", "visits.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())

    _, longer = run(tmp_path, limits=Limits(3.0, 0.0))

    assert longer.minutes > table.minutes
    assert len(longer.drift) > len(table.drift)


def test_a_session_ends_when_networks_are_known_well_enough(tmp_path):
    _, table = run(tmp_path, limits=Limits(30.0, 0.05), spikes=0.0)

    assert len(table.drift) == 3  # units that were chosen after the first round were timed twice


def test_drift_is_corrected(tmp_path):
    """The device gets slower by 10 % every thousand visits: evenly, so a deviation of a root of 12th."""
    _, table = run(tmp_path, drift=0.1, spikes=0.0)

    whole = 0.1 * len(files.read_bytes(tmp_path / "visits.jsonl").splitlines()) / 1000
    assert table.pace == pytest.approx(whole / 12**0.5, rel=0.25)
    middle = 1 + whole / 2
    for row in table.networks("held_out"):
        truth = middle * true_latency_ms(network(row.architecture).units)
        assert row.latency_ms == pytest.approx(truth, rel=0.03)


def test_an_interrupted_session_ends_as_an_undisturbed_one(finished, tmp_path):
    """Ctrl-C at one moment after the other, and the same command again."""
    _, table, _ = finished
    for moment in (100, 230, 320, 411, 470):
        left = iter(range(moment))

        def interrupt(*_, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, progress=interrupt)

    _, resumed = run(tmp_path)

    assert msgspec.structs.replace(resumed, device="") == msgspec.structs.replace(table, device="")


def test_kill_9_at_any_moment_loses_at_most_a_visit(finished, tmp_path):
    _, table, _ = finished
    program = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "tests" / "latency_lut")!r}]
from pathlib import Path
from test_session import run
import time
run(Path(sys.argv[1]), progress=lambda *_: time.sleep(0.001))
"""
    for seconds in (2.5, 3.0, 3.5):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stderr=subprocess.DEVNULL
        ) as child:
            time.sleep(seconds)
            os.kill(child.pid, signal.SIGKILL)

    _, resumed = run(tmp_path)

    assert msgspec.structs.replace(resumed, device="") == msgspec.structs.replace(table, device="")


def test_too_few_minutes_are_said_early_and_nothing_is_written_but_visits(tmp_path):
    with pytest.raises(RepvitNasError, match=r"--minutes 0\.05 is too short.*at least \d+"):
        run(tmp_path, limits=Limits(0.05, 0.0))

    assert not (tmp_path / "table.json").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"processor": "another"}, "processor is 'another' there"),
        ({"runtime": "another 2"}, "runtime is 'another 2' there and 'simulated 1' here"),
        ({"threads": "4"}, "threads is '4' there"),
        ({"output": "features"}, "output is 'features' there and 'logits' here"),
    ],
)
def test_other_circumstances_are_never_merged(tmp_path, change, words):
    session_in(tmp_path)
    found = files.read_json(tmp_path / "device.json", DeviceFile)
    other = msgspec.structs.replace(found, circumstances=found.circumstances | change)
    files.write_json(tmp_path / "device.json", other)

    with pytest.raises(RepvitNasError, match=words):
        session_in(tmp_path)


def test_date_and_momentary_frequency_may_differ(tmp_path):
    session_in(tmp_path)
    document = json.loads((tmp_path / "device.json").read_text())
    document["circumstances"] |= {"date": "1999-01-01", "frequency": "1 MHz"}
    (tmp_path / "device.json").write_text(json.dumps(document))

    session_in(tmp_path)


def test_another_protocol_version_is_refused(finished, tmp_path):
    _, _, folder = finished
    session_in(tmp_path)
    found = files.read_json(tmp_path / "device.json", DeviceFile)
    files.write_json(tmp_path / "device.json", msgspec.structs.replace(found, protocol=99))
    table = json.loads((folder / "table.json").read_text())
    (tmp_path / "table.json").write_text(json.dumps(table | {"protocol": 99}))

    with pytest.raises(RepvitNasError, match=r"protocol 99, this version's is 1"):
        session_in(tmp_path)
    with pytest.raises(FileError, match=r"protocol 99, this version's is 1"):
        read_table(tmp_path / "table.json")


def test_another_plan_is_refused(finished):
    _, _, folder = finished

    for wishes, words in (
        (WISHES._replace(units=20), "more units: give at least --units 24"),
        (WISHES._replace(calibration=5), "more calibration: give at least --calibration 6"),
        (WISHES._replace(held_out=5), "more networks: give at least --networks 6"),
        (WISHES._replace(seed=1), "another --seed"),
        (WISHES._replace(isolated=False), "another --isolated"),
        (WISHES._replace(output="features", isolated=False), "another --output"),
    ):
        with pytest.raises(RepvitNasError, match=words):
            run(folder, wishes=wishes)


@pytest.mark.parametrize("minutes", [2.0, 0.7])
def test_a_plan_goes_on_with_more_and_what_was_timed_counts(tmp_path, minutes):
    """Also where the first session ended in its first round, or twice with more each time."""
    few = Wishes(units=8, calibration=3, held_out=3, isolated=True, seed=0)
    with contextlib.suppress(RepvitNasError):  # the time of the second case is too short
        run(tmp_path, wishes=few, limits=Limits(minutes, 1.0))
    before = (tmp_path / "visits.jsonl").read_bytes()
    old = files.read_json(tmp_path / "plan.json", Plan)
    more = few._replace(units=24, calibration=5)
    run(tmp_path, wishes=more, limits=ENOUGH)
    session, table = run(tmp_path, wishes=more._replace(held_out=6), limits=ENOUGH)
    again, same = run(tmp_path, wishes=more._replace(held_out=6), limits=ENOUGH)

    assert before
    assert (tmp_path / "visits.jsonl").read_bytes().startswith(before)
    plan = files.read_json(tmp_path / "plan.json", Plan)
    assert plan.calibration[:3] == old.calibration
    assert plan.held_out[:3] == old.held_out
    assert plan.units[: len(old.units)] == old.units
    assert len({network.stages for network in plan.networks}) == len(plan.networks) == 11
    assert len(table.units) == 24
    assert len(table.networks("calibration")) == 5
    assert len(table.networks("held_out")) == 6
    assert table.isolated.keys() == set(plan.isolated_units())
    assert again.visits == session.visits
    assert same == table


def test_a_visit_that_is_not_the_plans_is_named(finished, tmp_path):
    _, _, folder = finished
    for name in ("device.json", "plan.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lines = (folder / "visits.jsonl").read_bytes().splitlines(keepends=True)
    wrong = json.loads(lines[5]) | {"key": "0" * 16}
    lines[5] = json.dumps(wrong).encode() + b"\n"
    (tmp_path / "visits.jsonl").write_bytes(b"".join(lines[:50]))

    with pytest.raises(FileError, match="round 0, position 5 is another program"):
        run(tmp_path)


def test_a_modelled_device_cannot_be_measured_here(elsewhere):
    with pytest.raises(RepvitNasError, match="iPhone 12.*modelled.*choose another --device"):
        device_folder("iphone12")


@pytest.mark.parametrize("name", ["", "..", "a/b", "Cpu", "cpu 4", "x" * 65])
def test_strange_names_of_devices_are_refused(name):
    with pytest.raises(RepvitNasError, match="small letters"):
        device_folder(name)


def test_a_table_without_visits_is_empty(finished):
    _, _, folder = finished
    plan = files.read_json(folder / "plan.json", Plan)

    assert build_table("x", plan, []).rows == ()


def test_a_visit_is_kept_where_only_unloading_fails(tmp_path):
    session = session_in(tmp_path)
    plan = network_plan([sentinel(224)], seed=0)
    load = session._runner.load

    @contextlib.contextmanager
    def failing(program):
        with load(program) as calls:
            yield calls
        raise RepvitNasError("the cable is out")

    session._runner.load = failing

    with pytest.raises(RepvitNasError, match="the cable is out"):
        session.explore(plan, LIMITS, quiet)

    assert [(item.round, item.position) for item in session.visits] == [(0, 0)]
    assert session.log.read() == session.visits


def test_another_phone_of_the_model_is_told_to_begin_a_series(tmp_path, measured_phone):
    device = load_device("iphone12")
    runner = SimpleNamespace(on_caches=False, circumstances=lambda: {"phone": "1234"})

    with pytest.raises(RepvitNasError, match="'1234' here.*measure-lut --device iphone12, which"):
        Session(tmp_path / "s", runner).same_machine(device)
