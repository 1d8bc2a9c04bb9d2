"""What an import refuses before it writes anything, and how a series is taken back."""

import csv
import shutil

import msgspec
import pytest
import service_reports
from exported import WISHES, entries
from writers import lay_reports

from repvit_nas.commands import _run
from repvit_nas.coreml.exporting import device_plan, planned
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.publishing import moved_away
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.series import read_series
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.predictors.validation import read_validation
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


@pytest.mark.parametrize("times", [5.0, 100.0])
def test_a_fit_to_what_contradicts_the_published_is_without_that_and_says_so(
    times, elsewhere, capsys
):
    lay_reports(times)

    assert _run([*IMPORT, "--unlike-predicted"], debug=False) == 0

    assert "Left aside: 79 published latencies." in " ".join(capsys.readouterr().out.split())
    found = read_validation(elsewhere / "predictors/iphone12/validation.json", "iphone12")
    assert found.left_aside == 79
    assert found.coverage_percent == 100
    # As slow as the phone was timed, not as it was published.
    assert 0.6 < found.checks[0].predicted_ms / found.checks[0].measured_ms < 1.6


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


@pytest.fixture
def service(lab, plan, elsewhere):
    """Write a service's report of each program, as long as predicted."""
    predictor, _ = load_predictor("iphone12")
    names = lab([])
    (elsewhere / "reports/lab.csv").unlink()

    def write(made, suffix, number=12):
        programs = list(planned(plan).values())
        for name, item in list(zip(names, programs, strict=True))[:number]:
            document = made(float(predictor.totals(dict(item.units)).mean()))
            service_reports.write(elsewhere / "reports" / f"{name}{suffix}", document)
        return names[:number]

    return write


def melange_report(latency):
    return service_reports.melange(service_reports.record(latency))


@pytest.mark.usefixtures("unfitted")
def test_reports_of_runlocal_and_xctest_are_series_of_their_own(service, elsewhere):
    (name, *_) = service(lambda latency: service_reports.runlocal((latency,)), ".runlocal.json")
    tests = service_reports.metrics(f"test_{name[-8:]}()", (0.9, 0.9), "ms")
    service_reports.write(elsewhere / "reports/R.xcmetrics.json", tests)
    service_reports.write(elsewhere / "reports/R.xcsummary.json", service_reports.summary())

    assert _run([*IMPORT, "--unlike-predicted"], debug=False) == 0

    found = read_series(elsewhere / "latency_lut/iphone12", "iphone12")
    assert sorted(one.name.partition("_")[0] for one in found) == ["runlocal", "xctest"]
    assert {one.file.circumstances["runtime"] for one in found} == {
        "coreml, runlocal",
        "coreml, xctest",
    }


def test_another_runtime_is_a_device_of_its_own(service, elsewhere, capsys):
    service(melange_report, ".melange.json", number=None)

    assert _run([*IMPORT], debug=True) == 0

    assert "latency_lut/iphone12-melange" in capsys.readouterr().err
    device = load_device("iphone12-melange").file
    assert device.kind == "measured"
    assert device.runtime.name == "melange"
    assert not device.runtime.is_core_ml
    assert load_device("iphone12").folder.shipped  # nothing of Core ML's has changed


@pytest.mark.parametrize(
    ("made", "suffix", "said"),
    [
        (
            lambda latency: service_reports.runlocal((latency,), device={"Name": "iPhone 13"}),
            ".runlocal.json",
            "was made on iPhone 13, not on iPhone 12",
        ),
        (
            lambda latency: service_reports.runlocal((1000 * latency,)),
            ".runlocal.json",
            "as if they were in microseconds",
        ),
        (
            lambda latency: service_reports.runlocal((latency,), "CPU_ONLY"),
            ".runlocal.json",
            "one run with ComputeUnit CPU_AND_NE; got CPU_ONLY",
        ),
        (
            lambda latency: service_reports.melange(
                service_reports.record(latency, {"marketing_name": "iPhone 13"})
            ),
            ".melange.json",
            "holds no latency_ms on the npu in fp16; got cpu fp32",
        ),
    ],
)
def test_reports_of_services_that_are_of_something_else_are_refused(
    service, elsewhere, capsys, made, suffix, said
):
    service(made, suffix)

    assert said in refused(capsys, elsewhere)


def test_reports_of_two_runtimes_are_refused(service, elsewhere, capsys):
    service(melange_report, ".melange.json", number=2)
    service(lambda latency: service_reports.runlocal((latency,)), ".runlocal.json", number=2)

    assert "reports must be of one runtime; got coreml, melange" in refused(capsys, elsewhere)
