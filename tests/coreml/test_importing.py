"""What an import refuses before it writes anything, and how a series is taken back."""

import csv
import shutil

import msgspec
import pytest
from exported import WISHES, entries

from repvit_nas.commands import _run
from repvit_nas.coreml.exporting import device_plan, planned
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.publishing import moved_away
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.series import read_series
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space.family import family
from repvit_nas.search_space.space import load_space

IMPORT = ["import-measurements", "reports", "--device", "iphone12"]


@pytest.fixture(scope="module")
def plan():
    return device_plan(load_space("repvit")[0], WISHES, at_once=True)


@pytest.fixture
def lab(plan, elsewhere):
    """Write a lab's figures: what is predicted of some programs, each times its factor."""
    predictor, _ = load_predictor("iphone12")
    programs = list(planned(plan).values())
    names = [program_name(item) for item in programs]
    folder = elsewhere / "reports"
    folder.mkdir()
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    (folder / "manifest.json").write_bytes(msgspec.json.encode(entries(plan)))

    def write(factors, *, tool="lab", units=""):
        with (folder / "lab.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["program", "latency_ms", "tool", "compute_units"])
            for name, item, factor in zip(names, programs, factors, strict=False):
                value = factor * float(predictor.totals(dict(item.units)).mean())
                lines.writerow([name, value, tool, units])
        return names

    return write


@pytest.fixture
def unfitted(monkeypatch):
    """Imports end before the fit, which takes seconds."""
    monkeypatch.setattr(
        "repvit_nas.commands.import_measurements.combined_and_fitted", lambda *_, **__: ()
    )


def refused(capsys, folder):
    """Import, and return the line that refuses it; nothing hides the shipped device."""
    assert _run([*IMPORT], debug=False) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert not (folder / "latency_lut").exists()
    assert load_device("iphone12").folder.shipped
    return line


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1000.0, "got 1,000 times as much (median of 12), as if they were in microseconds"),
        (0.001, "got 1/1,000 of it (median of 12), as if they were in seconds"),
        (5.0, "got 5.0 times as much (median of 12): correct them"),
    ],
)
def test_latencies_in_another_unit_are_refused(lab, elsewhere, capsys, factor, said):
    lab([factor] * 12)

    line = refused(capsys, elsewhere)

    assert "reports of lab: latencies must be within a factor of 4" in line
    assert said in line
    assert "--unlike-predicted" in line


def test_a_few_latencies_in_another_unit_are_named(lab, elsewhere, capsys):
    names = lab([1.3, 1300.0, 1.3, 1.3, 0.09, 1.3, 1400.0, 1.3, 1.3, 1200.0, 1.3, 1.3, 12.0])

    line = refused(capsys, elsewhere)

    assert f"got {names[6]} 1,077 times as much, {names[1]} 1,000 times as much, " in line
    assert f"{names[9]} 923 times as much and 1 more, as if they were in microseconds" in line
    assert names[4] not in line  # the fourth


def test_slow_programs_on_other_processors_are_no_mix_up(lab, elsewhere, capsys):
    lab([30.0] * 8, units="CPU_ONLY")

    assert _run([*IMPORT], debug=False) == 0

    assert "8 programs left out: not on the Neural Engine alone" in capsys.readouterr().err
    assert load_device("iphone12").file.kind == "modelled"


@pytest.mark.usefixtures("unfitted")
def test_latencies_unlike_predicted_are_taken_where_that_is_asked_for(lab, elsewhere):
    lab([6.0] * 8)

    assert _run([*IMPORT, "--unlike-predicted"], debug=False) == 0

    assert len(read_series(elsewhere / "latency_lut/iphone12", "iphone12")) == 1


@pytest.mark.usefixtures("unfitted")
@pytest.mark.parametrize("file", ["device.json", "plan.json"])
def test_a_damaged_series_is_said_before_anything_is_written(lab, elsewhere, capsys, file):
    lab([1.0] * 4)
    assert _run([*IMPORT], debug=False) == 0
    (home,) = (elsewhere / "latency_lut/iphone12/series").iterdir()
    (home / file).unlink()
    capsys.readouterr()

    assert _run([*IMPORT], debug=False) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert f"{home.name}/{file}: is missing" in line
    assert "restore the file, or move" in line
    assert [path.name for path in home.parent.iterdir()] == [home.name]
    with pytest.raises(FileError, match="is missing, but visits.jsonl beside it"):
        read_series(elsewhere / "latency_lut/iphone12", "iphone12")


@pytest.mark.slow
def test_a_series_that_is_moved_away_is_taken_back_by_the_next_fit(lab, elsewhere, capsys):
    network = family()["repvit_m0_9"].architecture
    folder = elsewhere / "latency_lut/iphone12"
    lab([1.0] * 200)
    assert _run([*IMPORT], debug=True) == 0
    good = load_predictor("iphone12")[0].estimate(network).latency_ms
    assert load_device("iphone12").file.kind == "measured"
    lab([3.0] * 200, tool="other")
    assert _run([*IMPORT], debug=True) == 0
    off = load_predictor("iphone12")[0].estimate(network).latency_ms
    assert off > 1.5 * good
    (wrong,) = folder.glob("series/other_*")
    shutil.move(wrong, elsewhere / "away")
    assert moved_away(folder) == [wrong.name]
    capsys.readouterr()

    assert _run(["fit", "--device", "iphone12"], debug=True) == 0

    assert (
        f"series gone from {folder.relative_to(elsewhere)}: {wrong.name}" in capsys.readouterr().err
    )
    assert load_device("iphone12").file.kind == "measured"
    assert load_predictor("iphone12")[0].estimate(network).latency_ms == pytest.approx(
        good, rel=0.01
    )
    assert moved_away(folder) == []


@pytest.mark.slow
def test_where_too_little_is_left_a_device_is_modelled_again(lab, elsewhere, capsys):
    folder = elsewhere / "latency_lut/iphone12"
    lab([1.0] * 4, tool="few")
    assert _run([*IMPORT], debug=True) == 0
    lab([1.0] * 200)
    assert _run([*IMPORT], debug=True) == 0
    assert load_device("iphone12").file.kind == "measured"
    (much,) = folder.glob("series/lab_*")
    (few,) = folder.glob("series/few_*")
    shutil.move(much, elsewhere / "away")

    assert _run(["fit", "--device", "iphone12"], debug=True) == 0

    assert load_device("iphone12").file.kind == "modelled"
    load_predictor("iphone12")
    shutil.move(few, elsewhere / "away too")
    capsys.readouterr()
    assert _run(["fit", "--device", "iphone12"], debug=False) == 1
    assert "no series is left" in capsys.readouterr().err


def test_an_import_that_tells_nothing_yet_leaves_a_modelled_device_as_it_is(lab, elsewhere, capsys):
    """One program: no unit and no network of the plan can be made of it."""
    shipped, _ = load_predictor("iphone12")
    lab([1.0])

    assert _run([*IMPORT], debug=True) == 0

    assert "0 units and 0 networks are too few" in capsys.readouterr().err
    network = family()["repvit_m1_0"].architecture
    now = load_predictor("iphone12")[0].estimate(network)
    assert now.source == "modelled"
    assert now.latency_ms == pytest.approx(shipped.estimate(network).latency_ms, rel=1e-3)
