"""The records of a run's folder, and its winners by name or number."""

import threading

import msgspec
import pytest
from support import ROOT

from repvit_nas import files
from repvit_nas.architecture import write_architecture
from repvit_nas.errors import FileError, RepvitNasError, UnknownNameError
from repvit_nas.folders import held
from repvit_nas.search_space.family import family
from repvit_nas.searching.records import (
    FRONT_FILE,
    RUN_FILE,
    DeviceLatency,
    FrontEntry,
    Result,
    front_columns,
    read_finished,
    read_run,
    read_winner,
    winner_path,
)

NAMES = ("slow", "fast")


def entry(name, *sources):
    devices = {
        f"d{number}": DeviceLatency(1.0, 0.9, 1.1, source) for number, source in enumerate(sources)
    }
    architecture = msgspec.structs.replace(family()["repvit_m0_9"].architecture, name=name)
    return FrontEntry(
        architecture=architecture, latency_ms=1.0, low_ms=0.9, high_ms=1.1, source="modelled",
        accuracy=78.0, accuracy_std=0.1, params=1, macs=1, size_bytes=2, devices=devices,
    )  # fmt: skip


def result(*entries, winners=NAMES):
    return Result(
        front=entries, best=entries[0], winners=winners, accuracy_meaning="", trials=1,
        evaluations=1,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    found = result(entry("fast", "modelled"), entry("slow", "modelled"))
    for each in found.front:
        (folder / "winners").mkdir(parents=True, exist_ok=True)
        write_architecture(folder / "winners" / f"{each.architecture.name}.json", each.architecture)
    files.write_json(folder / FRONT_FILE, found)
    return folder


def test_winners_come_best_first_and_sources_in_words():
    found = result(entry("fast", "measured", "modelled"), entry("slow", "modelled", "modelled"))

    assert [each.architecture.name for each in found.winning] == ["slow", "fast"]
    assert set(found.sources.split(" and ")) == {"measured", "modelled"}


@pytest.mark.parametrize(("asked", "name"), [("slow", "slow"), ("0", "slow"), ("1", "fast")])
def test_a_winner_is_found_by_its_name_or_its_rank(run, asked, name):
    assert winner_path(run, asked) == run / "winners" / f"{name}.json"
    assert read_winner(f"{run}:{asked}").name == name


@pytest.mark.parametrize("asked", ["2", "best", "../fast", ""])
def test_what_is_no_winner_is_answered_with_those_there_are(run, asked):
    with pytest.raises(UnknownNameError, match="is not known.*; known: fast, slow"):
        winner_path(run, asked)


def test_a_folder_without_winners_is_no_finished_run(tmp_path):
    with pytest.raises(RepvitNasError, match="holds no finished run; repvit-nas search makes one"):
        winner_path(tmp_path, "0")


def test_a_winner_that_leads_out_of_the_run_is_not_followed(run, tmp_path):
    outside = tmp_path / "outside.json"
    (run / "winners" / "fast.json").rename(outside)
    (run / "winners" / "fast.json").symlink_to(outside)

    with pytest.raises(RepvitNasError):
        winner_path(run, "fast")


def test_a_run_that_is_read_while_another_takes_its_place_is_one_of_the_two(run):
    shipped = read_run(ROOT / "results" / "iphone12-1.0ms")
    front = files.read_json(run / FRONT_FILE, Result)
    runs = [
        (
            msgspec.structs.replace(
                shipped, settings=msgspec.structs.replace(shipped.settings, trials=trials)
            ),
            msgspec.structs.replace(front, trials=trials),
        )
        for trials in (1, 2)
    ]
    done, replaced = threading.Event(), 0

    def replace():
        nonlocal replaced
        with held(run):
            while not done.is_set():
                made, found = runs[replaced % 2]
                (run / RUN_FILE).unlink(missing_ok=True)
                files.write_json(run / FRONT_FILE, found)
                files.write_json(run / RUN_FILE, made)
                replaced += 1
                done.wait(0.05)

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        while replaced < 10:
            found = read_finished(run) if replaced else None
            assert found is None or found.run.settings.trials == found.result.trials
    finally:
        done.set()
        writer.join()


def test_a_run_without_an_end_is_not_read(run):
    with pytest.raises(FileError, match="holds no finished run; repvit-nas search makes one"):
        read_finished(run)


def test_a_front_says_what_opens_stages_only_where_one_is_plain():
    plain = entry("plain", "modelled")
    stages = tuple(
        msgspec.structs.replace(stage, downsample="plain" if place == 2 else "deep")
        for place, stage in enumerate(plain.architecture.stages)
    )
    architecture = msgspec.structs.replace(plain.architecture, stages=stages)
    mixed = result(
        entry("deep", "modelled"),
        msgspec.structs.replace(plain, architecture=architecture),
        winners=(),
    )

    assert "downsample" not in front_columns(result(entry("deep", "modelled"), winners=()))
    assert front_columns(mixed)["downsample"] == ["deep-deep-deep-deep", "deep-deep-plain-deep"]


def test_the_shipped_run_is_as_this_version_writes_it():
    run = ROOT / "results" / "iphone12-1.0ms"

    front = files.encode_lines(files.read_json(run / FRONT_FILE, Result), "front")
    assert front == (run / FRONT_FILE).read_bytes()
    assert files.encode_json(read_run(run)) == (run / RUN_FILE).read_bytes()
