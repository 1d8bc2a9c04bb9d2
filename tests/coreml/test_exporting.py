"""The export for a device that is not here, and the way back, by a hand that times everything."""

import csv
import json
import signal
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from exported import WISHES, entries
from simulated import SimulatedPhone, true_cost_ms, true_latency_ms

from repvit_nas.architecture import Architecture, Stage
from repvit_nas.commands import _run
from repvit_nas.conversion.mil import read_package
from repvit_nas.conversion.package import WEIGHTS_PATH, package_digest
from repvit_nas.coreml.exporting import (
    CHAIN_LENGTHS,
    CONVERTED_FILE,
    UNITS,
    convert,
    device_plan,
    export,
    planned,
    read_manifest,
    read_plan,
    roles,
)
from repvit_nas.coreml.importers.folder import read_folder
from repvit_nas.coreml.importing import checked_parts, write_parts
from repvit_nas.coreml.naming import program_name
from repvit_nas.coreml.products import product
from repvit_nas.coreml.publishing import publish
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.placement import off_the_engine, read_placements
from repvit_nas.latency_lut.series import combined, read_series, series_folder
from repvit_nas.latency_lut.visits import VisitLog
from repvit_nas.measuring.campaign import Wishes
from repvit_nas.measuring.design import random_networks
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.programs import Program, chain, network
from repvit_nas.search_space.space import load_space
from repvit_nas.units import Block, Ffn

IPHONE = product("iphone12")


@pytest.fixture(scope="module")
def plan():
    return device_plan(load_space("repvit")[0], WISHES, at_once=True)


def import_series(product, folder, plan, manifest, reports, **options):
    """Take reports whatever is predicted: the simulated device is none that is shipped."""
    parts = checked_parts(product, folder, plan, manifest, reports, unlike_predicted=True)
    return write_parts(folder, plan, parts, **options)


def test_a_plan_for_a_phone_has_long_chains_and_all_units_at_once(plan):
    assert plan.explored
    assert len(plan.units) == 10
    assert plan.lengths == CHAIN_LENGTHS == (2, 6, 16)
    found = roles(plan)
    assert list(found.values()).count("held_out") == 4
    assert list(found.values()).count("calibration") == 4
    assert next(iter(found.values())) == "sentinel"


def test_the_default_plan_is_about_200_chains_and_40_networks():
    wishes = Wishes(UNITS, 14, 26, isolated=False, seed=0)
    found = list(roles(device_plan(load_space("repvit")[0], wishes, at_once=True)).values())

    assert 180 <= found.count("chain") + found.count("sandwich") <= 230
    assert found.count("held_out") + found.count("calibration") == 40


def test_an_export_is_checked_resumed_and_the_same_by_processes(plan, tmp_path):
    small = msgspec.structs.replace(
        plan, units=(Ffn(8, 16, 7),), wanted=1, calibration=(), held_out=(), lengths=(1, 2),
        sentinel=Architecture(
            name="sentinel", resolution=32, num_classes=3, stages=(Stage(width=8, depth=1, se="0"),) * 4
        ),
    )  # fmt: skip
    told = []

    one = export(
        tmp_path / "a", small, IPHONE, processes=1, progress=lambda *words: told.append(words)
    )
    two = export(tmp_path / "b", small, IPHONE, processes=2)

    assert one == two
    assert (tmp_path / "a/manifest.json").read_bytes() == (
        tmp_path / "b/manifest.json"
    ).read_bytes()
    assert told[-1] == ("converting", 3, 3)
    assert read_manifest(tmp_path / "a") == one
    assert read_plan(tmp_path / "a") == small
    for entry in one.programs:
        package = tmp_path / "a/programs" / f"{entry.name}.mlpackage"
        assert package_digest(package) == entry.digest
    # A package that was damaged is written again, the others are kept.
    weights = next((tmp_path / "a/programs").glob("ffn*/Data/*/weights/weight.bin"))
    weights.write_bytes(bytes(weights.stat().st_size))
    assert export(tmp_path / "a", small, IPHONE, processes=1) == one
    with pytest.raises(RepvitNasError, match="holds the export of another plan"):
        export(tmp_path / "a", plan, IPHONE, processes=1)
    with pytest.raises(RepvitNasError, match="processes must be 1 or more"):
        export(tmp_path / "a", small, IPHONE, processes=0)


def test_an_export_holds_programs_whose_networks_hand_back_maps(plan, tmp_path):
    stages = (Stage(width=8, depth=1, se="0"),) * 4
    backbone = Architecture(resolution=32, num_classes=0, stages=stages)
    small = msgspec.structs.replace(
        plan, units=(Ffn(8, 16, 7),), wanted=1, calibration=(), held_out=(backbone,), lengths=(1, 2),
        sentinel=Architecture(name="sentinel", resolution=32, num_classes=3, stages=stages),
    )  # fmt: skip

    manifest = export(tmp_path, small, IPHONE, processes=1)

    entry = next(item for item in manifest.programs if item.role == "held_out")
    found = read_package(tmp_path / "programs" / f"{entry.name}.mlpackage")
    assert found.outputs == tuple(f"output_{place}" for place in range(4))
    assert read_plan(tmp_path).output == "features"


def test_what_was_converted_is_not_converted_again(tmp_path):
    """Neither on resuming, nor where an export is what a measuring session finds."""
    timed = [chain(Ffn(8, 16, 7), 1), chain(Ffn(8, 16, 7), 2)]
    first = convert(tmp_path, timed, processes=1)
    log = tmp_path / CONVERTED_FILE
    with log.open("ab") as file:
        file.write(b'{"name":"torn')
    compiled = tmp_path / f"{program_name(timed[0])}.mlmodelc"
    compiled.mkdir()
    told = []

    again = convert(tmp_path, timed, processes=1, progress=lambda *words: told.append(words[0]))

    assert again == first
    assert set(told) == {"looking at what was converted"}  # and nothing is converted
    assert len(log.read_bytes().splitlines()) == 2
    assert compiled.is_dir()


def test_a_changed_package_is_converted_again_and_what_was_compiled_of_it_is_gone(tmp_path):
    timed = [chain(Ffn(8, 16, 7), 1)]
    (first,) = convert(tmp_path, timed, processes=1)
    package = tmp_path / f"{first.name}.mlpackage"
    (tmp_path / f"{first.name}.mlmodelc").mkdir()
    weights = package / WEIGHTS_PATH
    weights.write_bytes(bytes(weights.stat().st_size))

    assert convert(tmp_path, timed, processes=1) == [first]

    assert package_digest(package) == first.digest
    assert not (tmp_path / f"{first.name}.mlmodelc").exists()


def test_another_version_s_package_is_converted_again(tmp_path):
    timed = [chain(Ffn(8, 16, 7), 1)]
    (first,) = convert(tmp_path, timed, processes=1)
    newer, told = "coremltools 99, torch 9", []

    (other,) = convert(
        tmp_path, timed, processes=1, tools=newer, progress=lambda *words: told.append(words[0])
    )

    assert other.tools == newer
    assert other.digest == first.digest
    assert told == ["looking at what was converted", "converting"]
    (tmp_path / CONVERTED_FILE).write_bytes(b"nonsense\n")
    with pytest.raises(FileError, match="line 1 is no converted package"):
        convert(tmp_path, timed, processes=1)


class Ended(Program):
    """A program that ends the process that is to convert it."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


@pytest.mark.slow
def test_a_process_that_is_ended_from_outside_is_said_and_gone_on_from(tmp_path):
    """As the system ends one where memory runs out; the first two come before it."""
    timed = [chain(Ffn(8, 16, 7), copies) for copies in (1, 2, 3)]

    with pytest.raises(RepvitNasError, match="ended from outside.*memory.*kept.*repeat") as error:
        convert(tmp_path, [*timed[:2], Ended(timed[2].units)], processes=2, each=1)

    assert "\n" not in str(error.value)
    before = (tmp_path / CONVERTED_FILE).read_bytes()
    assert before.count(b"\n") == 2
    assert len(convert(tmp_path, timed, processes=1)) == 3
    assert (tmp_path / CONVERTED_FILE).read_bytes().startswith(before)


def xcode_report(name, latency_ms, *, model="iPhone 12", cpu=False):
    preferred = {"deviceType": {"cpu" if cpu else "neuralEngine": {}}}
    operation = {"outputs": [{"name": "conv"}], "cost": {"weight": 1.0}, "deviceUsage": {"preferred": preferred}}  # fmt: skip
    block = {"block": {"operations": [operation]}}
    return {
        "modelMetadata": {"fileName": f"{name}.mlpackage"},
        "deviceInfo": {"modelName": model, "serialNumber": "SECRET"},
        "computeUnit": 3,
        "deviceResults": {
            "predict": {"samples": [latency_ms / 1e3] * 5},
            "modelStructure": {"program": {"functions": {"main": block}}},
        },
    }


def timed_by_hand(folder, plan, factor=1.0, truth=true_latency_ms, **options):
    """Write a report of every program, as long as a simulated device takes."""
    for item in planned(plan).values():
        name = program_name(item)
        path = folder / f"{name}.mlperf"
        path.mkdir(parents=True)
        document = xcode_report(name, factor * truth(item.units), **options)
        (path / "report.json").write_text(json.dumps(document))


def test_xcode_reports_come_back_as_the_true_costs(plan, tmp_path, elsewhere):
    timed_by_hand(tmp_path / "reports", plan)

    names = import_series(IPHONE, tmp_path, plan, entries(plan), read_folder(tmp_path / "reports"))
    found = publish(IPHONE, tmp_path)

    assert found.device.file.kind == "measured"
    (series,) = read_series(tmp_path, "iphone12")
    assert [series.name] == names
    for row in series.table.units:
        if isinstance(row.unit, Block | Ffn):
            assert row.latency_ms == pytest.approx(true_cost_ms(row.unit), rel=1e-3)
            assert row.sd_ms > 0.005 * row.latency_ms  # one report says nothing of repetition
    kept = "".join(p.read_text() for p in (tmp_path / "series").rglob("*") if p.is_file())
    assert "SECRET" not in kept


def test_reports_of_programs_on_the_cpu_are_kept_and_left_out(plan, tmp_path, elsewhere):
    timed_by_hand(tmp_path / "reports", plan, cpu=True)
    import_series(IPHONE, tmp_path, plan, entries(plan), read_folder(tmp_path / "reports"))

    with pytest.raises(
        RepvitNasError, match="0 units, 0 calibration.*what is there is kept"
    ) as info:
        publish(IPHONE, tmp_path)
    timed = len(planned(plan))
    assert f"{timed} programs timed but not counted: not on the Neural Engine alone" in str(
        info.value
    )
    assert "(elsewhere: conv); --any-placement counts them" in str(info.value)
    assert "import again" not in str(info.value)

    asked = publish(IPHONE, tmp_path, everywhere=True)
    assert asked.units >= 8


@pytest.mark.parametrize(("units", "left_out"), [("CPU_ONLY", 5), ("CPU_AND_NE", 0), ("", 0)])
def test_reports_that_had_no_neural_engine_are_left_out(plan, tmp_path, elsewhere, units, left_out):
    """A lab's figures say nothing of operations, but which processors were allowed."""
    (tmp_path / "reports").mkdir()
    with (tmp_path / "reports" / "lab.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["program", "latency_ms", "tool", "compute_units"])
        for item in list(planned(plan).values())[1:6]:
            lines.writerow([program_name(item), 1.0, "lab", units])

    import_series(IPHONE, tmp_path, plan, entries(plan), read_folder(tmp_path / "reports"))

    (series,) = read_series(tmp_path, "iphone12")
    assert series.left_out == left_out


def test_reports_of_two_macs_are_not_pooled(plan, tmp_path):
    for place, (item, model) in enumerate(
        zip(planned(plan).values(), ("MacBook Air", "Mac mini"), strict=False)
    ):
        path = tmp_path / f"{place}.mlperf"
        path.mkdir()
        document = xcode_report(program_name(item), 1.0, model=model)
        (path / "report.json").write_text(json.dumps(document))
    reports = read_folder(tmp_path)
    mac = product("mac")

    with pytest.raises(FileError, match="of one model; got Mac mini, MacBook Air"):
        import_series(mac, tmp_path, plan, entries(plan), reports)

    (name,) = import_series(mac, tmp_path, plan, entries(plan), reports[:1])
    assert name.startswith("macbook-air_xcode-report_")
    (other,) = import_series(mac, tmp_path, plan, entries(plan), reports[1:2])
    (unknown,) = import_series(
        mac, tmp_path, plan, entries(plan), [reports[0]._replace(model="")]
    )  # fmt: skip
    assert unknown.startswith("xcode-report_")
    models = {one.name: one.model for one in read_series(tmp_path, "mac")}
    assert models == {name: "MacBook Air", other: "Mac mini", unknown: "Mac"}
    _, sources = combined(read_series(tmp_path, "mac"))
    assert len(sources.sources) == 1
    assert len(sources.aside) == 2
    with pytest.raises(FileError, match="made on MacBook Air, not on iPhone 12"):
        import_series(IPHONE, tmp_path / "phone", plan, entries(plan), reports)


def test_a_part_of_the_reports_waits_for_the_others(plan, tmp_path, elsewhere):
    timed_by_hand(tmp_path / "reports", plan)
    reports = read_folder(tmp_path / "reports")
    import_series(IPHONE, tmp_path, plan, entries(plan), reports[:6])
    with pytest.raises(RepvitNasError, match="a fit needs 8, 3 and 2"):
        publish(IPHONE, tmp_path)
    assert not (tmp_path / "device.json").exists()

    import_series(IPHONE, tmp_path, plan, entries(plan), reports)

    assert publish(IPHONE, tmp_path).units >= 8


def test_a_second_folder_of_reports_is_added_to_the_first(plan, tmp_path):
    """One person's reports, then another's: a program's new ones replace its old ones."""
    timed_by_hand(tmp_path / "reports", plan)
    reports = read_folder(tmp_path / "reports")
    told = []

    def take(some):
        return import_series(IPHONE, tmp_path, plan, entries(plan), some, say=told.append)

    (name,) = take([*reports[:6], reports[0]])
    again = [
        item._replace(samples=(99.0,), operations=(("gelu", "cpu", 1.0),)) for item in reports[4:6]
    ]

    assert take([*again, *reports[6:9]]) == [name]

    assert told == [
        f"series {name}: programs that are new: 3; that replace what was there: 2; kept as they were: 4"
    ]
    home = series_folder(tmp_path, name)
    keys = {entry.name: entry.key for entry in entries(plan).programs}
    found = {}
    for visit in VisitLog(home).read():
        found.setdefault(visit.key, []).append(visit.samples[0])
    assert len(found) == 9
    assert len(found[keys[reports[0].name]]) == 2  # its rounds stay
    assert found[keys[reports[4].name]] == [99.0]
    off = off_the_engine(read_placements(home / "placements.jsonl"))
    assert off == {keys[item.name] for item in again}


@pytest.mark.slow
def test_networks_without_chains_make_a_better_modelled_device(plan, elsewhere, capsys):
    """A phone that truly takes 1.2 times what is modelled: eight reports of networks say so."""
    modelled, _ = load_predictor("iphone12")
    reports = elsewhere / "reports"
    reports.mkdir()
    (reports / "plan.json").write_bytes(msgspec.json.encode(plan))
    (reports / "manifest.json").write_bytes(msgspec.json.encode(entries(plan)))
    with (reports / "lab.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["program", "latency_ms", "tool"])
        for item in plan.networks:
            truth = 1.2 * modelled.estimate(item).latency_ms
            lines.writerow([program_name(network(item)), truth, "lab"])
    unseen = random_networks(load_space("repvit")[0], 6, seed=77)
    truth = [1.2 * modelled.estimate(item).latency_ms for item in unseen]

    words = ["import-measurements", str(reports), "--device", "iphone12"]
    assert _run(words, debug=True) == 0

    assert (
        "0 units and 8 networks are too few to make iphone12 a measured" in capsys.readouterr().err
    )
    now, _ = load_predictor("iphone12")
    estimates = [now.estimate(item) for item in unseen]
    assert {item.source for item in estimates} == {"modelled"}
    ratio = np.array([item.latency_ms for item in estimates]) / truth
    # It was 1 / 1.2, which is three of the deviations that are usual between two tools.
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)
    inside = [
        item.low_ms <= true <= item.high_ms for item, true in zip(estimates, truth, strict=True)
    ]
    assert sum(inside) >= 5
    # The same fit again, from what is in the folder now.
    assert _run(["fit", "--device", "iphone12"], debug=True) == 0
    again, _ = load_predictor("iphone12")
    assert again.estimate(unseen[0]) == now.estimate(unseen[0])


def test_two_tools_are_two_series_with_a_factor_between_them(plan, tmp_path, elsewhere):
    timed_by_hand(tmp_path / "reports", plan)
    with (tmp_path / "reports" / "lab.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["program", "latency_ms", "tool"])
        for item in planned(plan).values():
            rows.writerow([program_name(item), 1.2 * true_latency_ms(item.units), "lab"])

    names = import_series(IPHONE, tmp_path, plan, entries(plan), read_folder(tmp_path / "reports"))
    table, sources = combined(read_series(tmp_path, "iphone12"))

    assert len(names) == 2
    assert sources.sources[1].factor in (
        pytest.approx(1.2, rel=0.01), pytest.approx(1 / 1.2, rel=0.01),
    )  # fmt: skip
    assert sources.sources[1].factor_sd < 0.02
    assert len(table.units) == len({row.unit for row in table.units}) >= 8


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"modelMetadata": {"fileName": "other.mlpackage"}}, "'other' is not in the manifest"),
        ({"deviceInfo": {"modelName": "iPhone 13"}}, "was made on iPhone 13, not on iPhone 12"),
    ],
)
def test_reports_of_something_else_are_refused(plan, tmp_path, changed, said):
    item = next(iter(planned(plan).values()))
    path = tmp_path / "reports" / "x.mlperf"
    path.mkdir(parents=True)
    document = xcode_report(program_name(item), 1.0) | changed
    (path / "report.json").write_text(json.dumps(document))

    with pytest.raises(FileError, match=said):
        import_series(IPHONE, tmp_path, plan, entries(plan), read_folder(tmp_path / "reports"))


def test_commands_go_the_whole_way_round(plan, tmp_path):
    """import-measurements on an export that was timed by hand; then predict says so."""
    folder = tmp_path / "programs"
    folder.mkdir()
    timed_by_hand(folder, plan, truth=SimulatedPhone().latency_ms)
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    (folder / "manifest.json").write_bytes(msgspec.json.encode(entries(plan)))

    def call(*words):
        return subprocess.run(
            [sys.executable, "-m", "repvit_nas", *words], cwd=tmp_path, capture_output=True,
            text=True,
        )  # fmt: skip

    before = call("predict", "repvit_m0_9", "--json")
    done = call("import-measurements", "programs", "--device", "iphone12")
    after = call("predict", "repvit_m0_9", "--json")
    listed = call("devices", "--json")

    assert done.returncode == 0, done.stderr
    assert "series xcode-report_any-system_cpu-and-ne_" in done.stderr
    assert json.loads(before.stdout)["source"] == "modelled"
    assert json.loads(after.stdout)["latency_ms"] != json.loads(before.stdout)["latency_ms"]
    kinds = {item["device"]: item["kind"] for item in json.loads(listed.stdout)}
    assert kinds["iphone12"] == "measured"
    assert "Traceback" not in done.stderr + after.stderr
