"""Whole sessions on the simulated phone: its true costs come back, whatever happens in between."""

import re

import msgspec
import numpy as np
import pytest
from fake_apple import FakeApple, app_source, simulated_packages
from simulated import OVERHEAD_MS, entry_ms, true_cost_ms, true_latency_ms

from repvit_nas.coreml.client import Waits
from repvit_nas.coreml.exporting import device_plan
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.opening import open_phone
from repvit_nas.coreml.products import product
from repvit_nas.coreml.publishing import publish
from repvit_nas.coreml.runner import CoreMlRunner
from repvit_nas.coreml.session import GatedSession, expected_minutes, own_series, planned_otherwise
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.latency_lut.placement import (
    PLACEMENTS_FILE,
    gated_table,
    off_the_engine,
    read_placements,
)
from repvit_nas.latency_lut.series import combined, read_series
from repvit_nas.measuring.campaign import Wishes, measure, network_plan
from repvit_nas.measuring.session import Limits
from repvit_nas.programs import chain, network
from repvit_nas.search_space.space import load_space
from repvit_nas.units import Block, Ffn, rows

IPHONE = product("iphone12")
DRIFT = 0.05  # of a thousand predictions
WISHES = Wishes(units=12, calibration=3, held_out=3, isolated=False, seed=0)
LIMITS = Limits(minutes=600, precision=0.9)
QUICK = Waits(answer=0.3, load=0.3, poll=0.01, copy=5)


def quiet(*_):
    """Tell nobody."""


def shape(unit):
    channels = getattr(unit, "c_in", None) or unit.width
    return (channels, 1, 1)  # the stand-in looks at sizes only


@pytest.fixture(scope="module")
def space():
    return load_space("repvit")[0]


def run(
    apple, folder, space, *, rounds=2, at_once=False, everywhere=False, wishes=WISHES, udid=""
):  # fmt: skip
    """Measure as the command does; return the series' session."""
    plan = device_plan(space, wishes, at_once=at_once)
    phone = open_phone(
        IPHONE, folder, team="T", udid=udid, apple=apple, source=app_source(folder / "app"), waits=QUICK,
        sleep=lambda _: None,
    )  # fmt: skip
    try:
        packages = folder / ".programs"
        packages.mkdir(parents=True, exist_ok=True)
        runner = CoreMlRunner(phone, packages, writer=simulated_packages, shape=shape)
        home = own_series(folder, runner, plan)
        session_notes.append(planned_otherwise(home, runner, plan))
        home.mkdir(parents=True, exist_ok=True)
        runner.keep_placements(home / PLACEMENTS_FILE)
        session = GatedSession(home, runner, everywhere=everywhere, passing=True)
        session.claim("iphone12", "", RuntimeSpec("coreml", target="iphone12"), plan.resolution)
        measure(session, session.plan(plan), space, wishes, limits=LIMITS, progress=quiet)
        plan = session.plan(plan)
        for number in range(2, rounds):
            session._round(plan, number, LIMITS, quiet)
    finally:
        phone.stop()
    return session


session_notes = []


@pytest.fixture(scope="module")
def measured(tmp_path_factory, space):
    """A session with drift, spikes and cold starts."""
    folder = tmp_path_factory.mktemp("devices") / "iphone12"
    folder.mkdir()
    apple = FakeApple(
        folder / "apple", drift_per_1000=DRIFT, spikes=0.03, noise=0.005, cold=0.8
    )  # fmt: skip
    return folder, apple, run(apple, folder, space, rounds=5)


def slower(apple):
    """Return how much slower than at its start the phone was in the middle of the session."""
    predictions = int((apple.home / "n_drift").read_text())
    return 1 + DRIFT * predictions / 2 / 1000


def test_true_costs_are_inside_their_intervals(measured):
    folder, apple, _ = measured
    (series,) = read_series(folder, "iphone12")

    kept = [row for row in series.table.units if isinstance(row.unit, Block | Ffn)]
    true = slower(apple) * np.array([true_cost_ms(row.unit) for row in kept])
    missed = np.array([row.latency_ms for row in kept]) / true - 1
    # Which moment of the session counts as usual is the same for all.
    true *= 1 + np.median(missed)
    inside = [row.low_ms <= ms <= row.high_ms for row, ms in zip(kept, true, strict=True)]

    assert len(inside) >= 6
    assert np.mean(inside) >= 0.7  # intervals of 90 %, of nine units
    assert np.abs(missed).max() < 0.004


def test_networks_are_what_they_truly_take(measured):
    folder, apple, _ = measured
    (series,) = read_series(folder, "iphone12")

    for row in series.table.networks("held_out"):
        true = true_latency_ms(network(row.architecture).units) * slower(apple)
        assert row.latency_ms == pytest.approx(true, rel=0.004)
        assert OVERHEAD_MS + entry_ms(rows(row.architecture)[0]) < true


def test_every_program_s_placement_was_read(measured):
    _, _, session = measured

    placements = read_placements(session.folder / PLACEMENTS_FILE)

    assert set(placements) == {visit.key for visit in session.visits}
    assert off_the_engine(placements) == frozenset()
    assert all(item.preferred == {"neuralEngine": 4} for item in placements.values())


def test_a_visit_is_one_message_of_a_warm_loop(measured):
    _, _, session = measured

    assert all(len(visit.samples) >= 4 for visit in session.visits)
    first = [visit.warm[0] for visit in session.visits]
    # Eight calls before the first that is looked at: cold by 0.8 * 0.4 ** 8, below a thousandth.
    typical = [min(visit.samples) for visit in session.visits]
    assert np.median(np.array(first) / np.array(typical)) < 1.1


def test_programs_are_ready_before_the_round_that_times_them(measured):
    """The phone is not kept waiting: nothing is compiled between two visits."""
    _, apple, _ = measured
    lines = (apple.home / "calls.log").read_text().splitlines()
    compiling = ["coremlcompiler" in line for line in lines]

    begun = sum(
        now and not before for before, now in zip([False, *compiling], compiling, strict=False)
    )

    assert sum(compiling) > 30
    assert begun == 2  # the probe, and all others: so few units are chosen at once


def test_the_same_command_goes_on_after_the_app_died(measured, space, tmp_path):
    """What an undisturbed session saw is seen again, and no visit is made twice."""
    apple = FakeApple(tmp_path / "apple", dies_after_messages=120)
    with pytest.raises(RepvitNasError, match="starts it again and goes on"):
        run(apple, tmp_path, space)
    log = next(tmp_path.glob("series/*/visits.jsonl"))
    kept = log.read_bytes()
    assert kept.count(b"\n") > 20

    apple.set(copy_to_fail_on=[-1])  # the cable is out
    with pytest.raises(RepvitNasError, match="is the cable in"):
        run(apple, tmp_path, space)
    apple.set()
    session = run(apple, tmp_path, space)

    assert log.read_bytes().startswith(kept)
    places = [(visit.round, visit.position) for visit in session.visits]
    assert len(places) == len(set(places))
    assert len(session.visits) >= len(kept.splitlines())


def test_another_system_build_starts_a_series_of_its_own(measured, space):
    folder, apple, session = measured
    before = session.log.path.read_bytes()
    apple.set(build="24A999", system="27.0", noise=0.005)

    other = run(apple, folder, space)

    assert session.folder.name == "iphone13-2_23f84_warm"
    assert other.folder.name == "iphone13-2_24a999_warm"
    assert session.log.path.read_bytes() == before
    series = read_series(folder, "iphone12")
    assert len(series) == 2
    table, sources = combined(series)
    assert [source.series for source in sources.sources] == [
        other.folder.name, session.folder.name,
    ]  # fmt: skip
    assert sources.sources[1].shared > 10
    assert sources.sources[1].factor == pytest.approx(1.0, abs=0.05)
    assert len(table.units) >= len(series[0].table.units)
    published = publish(IPHONE, folder, latest=other.folder.name)
    assert "24A999" in published.device.file.circumstances["os"]  # what `measure` will find
    assert (
        "24A999"
        not in publish(IPHONE, folder, latest=session.folder.name).device.file.circumstances["os"]
    )


def test_another_phone_of_the_model_is_a_series_of_its_own(space, tmp_path):
    apple = FakeApple(tmp_path / "apple", noise=0.003, phones=["iPhone13,2"] * 2)
    first, second = ("00008101-000A3C210CE0000" + digit for digit in "01")
    one = run(apple, tmp_path, space, udid=first)
    before = one.log.path.read_bytes()

    other = run(apple, tmp_path, space, udid=second)

    assert other.folder.name == f"{one.folder.name}_2"
    assert one.log.path.read_bytes() == before
    assert run(apple, tmp_path, space, udid=first).folder == one.folder
    table, sources = combined(read_series(tmp_path, "iphone12"))
    assert len(sources.sources) == 2
    assert sources.sources[1].shared > 10
    assert sources.sources[1].factor == pytest.approx(1.0, abs=0.02)
    kept = "".join(path.read_text() for path in tmp_path.glob("series/*/*.json*"))
    assert "000A3C210CE0" not in kept.upper()
    assert set(table.shared_sd) == {sources.sources[1].series}


def test_a_short_try_is_not_in_the_way_of_the_whole(space, tmp_path):
    """Other options begin a series beside the first one; what both timed brings them together."""
    apple = FakeApple(tmp_path / "apple", noise=0.003)
    short = run(apple, tmp_path, space, wishes=WISHES._replace(units=8, held_out=2))
    before = short.log.path.read_bytes()
    assert session_notes[-1] == ""

    whole = run(apple, tmp_path, space)

    assert whole.folder.name == f"{short.folder.name}_2"
    assert f"series {short.folder.name} was planned with another --units" in session_notes[-1]
    assert short.log.path.read_bytes() == before
    assert run(apple, tmp_path, space).folder == whole.folder
    assert session_notes[-1] == ""
    published = publish(IPHONE, tmp_path, latest=whole.folder.name)
    assert [one.series for one in published.sources.sources] == [
        whole.folder.name, short.folder.name,
    ]  # fmt: skip
    assert published.sources.sources[1].shared >= 5


def test_programs_on_the_cpu_are_kept_but_not_counted(space, tmp_path):
    """Short chains that Core ML leaves on the CPU do not bend the slope of the longer ones."""
    unit, tiny = Ffn(64, 256, 28), Ffn(16, 16, 7)
    plan = msgspec.structs.replace(
        device_plan(space, WISHES, at_once=True), units=(unit, tiny), wanted=2,
        calibration=(),
    )  # fmt: skip
    limit = true_latency_ms(chain(unit, 2).units) * 1.01
    apple = FakeApple(tmp_path / "apple", cpu_below_ms=limit, noise=0.0005)
    phone = open_phone(
        IPHONE, tmp_path, team="T", apple=apple, source=app_source(tmp_path / "app"),
        sleep=lambda _: None,
    )  # fmt: skip
    packages = tmp_path / "packages"
    packages.mkdir()
    runner = CoreMlRunner(phone, packages, placements=tmp_path / PLACEMENTS_FILE, writer=simulated_packages,
        shape=shape,
    )  # fmt: skip
    session = GatedSession(tmp_path, runner)
    session.explore(plan, LIMITS, quiet)
    session.rounds(plan, LIMITS, quiet)

    (row,) = session.table(plan).units
    everything = gated_table("", plan, session.visits)

    assert row.unit == unit
    assert row.latency_ms == pytest.approx(true_cost_ms(unit), rel=0.02)
    off = off_the_engine(read_placements(tmp_path / PLACEMENTS_FILE))
    assert off == {chain(unit, 2).key} | {chain(tiny, length).key for length in plan.lengths}
    assert {visit.key for visit in session.visits} >= off  # kept
    (asked,) = [row for row in everything.units if row.unit == unit]
    assert asked.latency_ms > 1.02 * true_cost_ms(unit)


@pytest.mark.parametrize("at_once", [False, True])
def test_nothing_on_the_neural_engine_is_said_after_the_first_round(space, tmp_path, at_once):
    apple = FakeApple(tmp_path / "apple", cpu_ops=["gelu"])

    with pytest.raises(RepvitNasError) as error:
        run(apple, tmp_path, space, at_once=at_once)

    said = str(error.value)
    assert "\n" not in said
    assert re.search(r"^(\d+) of \1 programs do not run.*elsewhere run gelu in", said)
    assert "only 0 units and 0 calibration networks count" in said
    assert "repeat with --any-placement" in said
    (log,) = tmp_path.glob("series/*/visits.jsonl")
    rounds = {msgspec.json.decode(line)["round"] for line in log.read_bytes().splitlines()}
    assert rounds == {0}

    session = run(apple, tmp_path, space, at_once=at_once, everywhere=True)

    assert len(session.table(session.plan(device_plan(space, WISHES, at_once=at_once))).units) >= 8


@pytest.mark.parametrize("passing", [True, False])
def test_a_program_that_the_device_refuses_is_named_and_passed_over(space, tmp_path, passing):
    unit = Ffn(64, 256, 28)
    refuses = chain(unit, 2)
    plan = msgspec.structs.replace(
        device_plan(space, WISHES, at_once=True), units=(unit,), wanted=1, calibration=()
    )
    name = program_name(refuses)
    apple = FakeApple(tmp_path / "apple", load_error="Failed to build", load_error_for=name)
    phone = open_phone(
        IPHONE, tmp_path, team="T", apple=apple, source=app_source(tmp_path / "app"),
        sleep=lambda _: None,
    )  # fmt: skip
    path = tmp_path / PLACEMENTS_FILE
    runner = CoreMlRunner(phone, tmp_path, placements=path, writer=simulated_packages, shape=shape)
    session = GatedSession(tmp_path, runner, passing=passing)
    said = f"{name}: the device refused Load: Failed to build"

    if not passing:
        with pytest.raises(RepvitNasError, match=said):
            session.explore(plan, LIMITS, quiet)
        return
    session.explore(plan, LIMITS, quiet)

    assert session.not_taken == {refuses.key: said}
    assert read_placements(path)[refuses.key].preferred == {"refused": 1}
    assert {row.unit for row in session.table(plan).units} == {unit}  # by its other lengths

    apple.set()  # as after an update of the app: the next session asks again
    again = GatedSession(tmp_path, runner, passing=True)
    again.explore(plan, LIMITS, quiet)

    assert not again.not_taken
    assert read_placements(path)[refuses.key].on_neural_engine
    places = [(visit.round, visit.position) for visit in again.visits]
    assert len(places) == len(set(places)) == len(session.visits) + 1


def test_a_device_that_refuses_everything_stops(space, tmp_path):
    apple = FakeApple(tmp_path / "apple", load_error="no memory", load_error_for="network")
    plan = network_plan(list(device_plan(space, WISHES, at_once=True).networks), seed=0)
    phone = open_phone(
        IPHONE, tmp_path, team="T", apple=apple, source=app_source(tmp_path / "app"),
        sleep=lambda _: None,
    )  # fmt: skip
    runner = CoreMlRunner(phone, tmp_path, writer=simulated_packages, shape=shape)

    with pytest.raises(RepvitNasError, match="refused Load: no memory"):
        GatedSession(tmp_path, runner, everywhere=True, passing=True).explore(plan, LIMITS, quiet)


def test_operations_elsewhere_are_named(space, tmp_path):
    apple = FakeApple(tmp_path / "apple", cpu_ops=["gelu"])
    phone = open_phone(
        IPHONE, tmp_path, team="T", apple=apple, source=app_source(tmp_path / "app"),
        sleep=lambda _: None,
    )  # fmt: skip
    runner = CoreMlRunner(phone, tmp_path, placements=tmp_path / PLACEMENTS_FILE, writer=simulated_packages,
        shape=shape,
    )  # fmt: skip
    timed = chain(Ffn(32, 64, 14), 2)

    with runner.load(timed) as calls:
        calls(1)

    (found,) = read_placements(tmp_path / PLACEMENTS_FILE).values()
    assert found.preferred == {"neuralEngine": 3, "cpu": 1}
    assert found.elsewhere == ("gelu_2",)
    assert not found.on_neural_engine


def test_the_time_on_the_phone_is_estimated(space):
    plan = device_plan(space, WISHES, at_once=True)

    one, usual = expected_minutes(plan, 6.0)

    programs = 12 * 3 + 6 + 1
    assert 0.4 * programs * 0.1 < one < 1.6 * programs * 0.1
    assert usual == 4 * one


def test_the_series_make_a_measured_device_with_its_published_rows(measured, elsewhere):
    folder, _, _ = measured

    found = publish(IPHONE, folder)

    assert found.device.file.kind == "measured"
    assert found.device.file.title == "iPhone 12"
    assert found.units >= 8
    assert (folder / "published.csv").is_file()
    assert "SECRET" not in "".join(
        path.read_text() for path in folder.rglob("*.json*") if "apple" not in path.parts
    )


def test_a_torn_placement_is_dropped_and_read_again(space, tmp_path):
    apple = FakeApple(tmp_path / "apple")
    phone = open_phone(
        IPHONE, tmp_path, team="T", apple=apple, source=app_source(tmp_path / "app"),
        sleep=lambda _: None,
    )  # fmt: skip
    path = tmp_path / PLACEMENTS_FILE
    path.write_bytes(b'{"key":"a","preferred":{"neuralEngine":4}}\n{"key":"b","pref')

    runner = CoreMlRunner(phone, tmp_path, placements=path, writer=simulated_packages, shape=shape)
    with runner.load(chain(Ffn(32, 64, 14), 2)) as calls:
        calls(1)

    assert set(read_placements(path)) == {"a", chain(Ffn(32, 64, 14), 2).key}
