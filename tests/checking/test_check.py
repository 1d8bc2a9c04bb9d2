"""`check`, from a run to its record."""

import json
import shutil

import msgspec
import pytest
from support import unwritable

from repvit_nas.checking.check import Where, check, check_run, read_to_check
from repvit_nas.checking.records import CheckRecord, standard_error
from repvit_nas.commands import _run
from repvit_nas.commands.arguments import checked_architecture
from repvit_nas.data import shipped_root
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.files import read_json, write_json
from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION
from repvit_nas.report.checking import chance_line, family_table, measured_lines, promise_rows
from repvit_nas.search_space.space_file import Allowed, SpaceFile, StageSpace
from repvit_nas.training.records import TRAINING_FILE, read_training
from repvit_nas.training.spec import DataSpec


def broken(found):
    return [promise.name for promise in found.promises if promise.kept is False]


def test_a_run_that_cannot_be_written_is_checked_and_stays_as_it_is(run, monkeypatch, capsys):
    monkeypatch.chdir(run.parent)
    (run / "export.json").unlink(missing_ok=True)
    before = {path.name for path in run.iterdir()}

    with unwritable(run):
        code = _run(["check", "run", "--json"], debug=False)
        after = {path.name for path in run.iterdir()}
    out, err = capsys.readouterr()

    assert code == 1  # it is outside the space, as below
    assert "run: cannot be written, so what is found is not kept there" in err
    found = json.loads(out)
    assert [each["name"] for each in found["promises"] if each["kept"] is False] == ["search space"]
    assert {form["name"] for form in found["export"]["forms"]} == {"fused"}
    assert after == before


def test_a_run_keeps_what_was_promised_but_for_a_network_outside_the_space(run):
    found = check_run(run)

    assert broken(found) == ["search space"]  # stages of 16 channels are too narrow for it
    assert "stages[0].width is not in space" in found.promises[0].found
    assert [row.name for row in found.family] == [
        f"RepViT-{name}" for name in ("M0.9", "M1.0", "M1.1", "M1.5", "M2.3")
    ]
    # What is published is of 224 px and 1000 classes, which this run is not of.
    assert {(row.published_ms, row.published_top1) for row in found.family} == {(None, None)}
    assert not [name for name in family_table(found)[0] if "published" in name]
    assert all(row.top1 is None and row.relation == "" for row in found.family)
    assert found.variant.source == "modelled"
    assert found.measured_ms is None
    assert "(iPhone 12 (A14)) is modelled so far" in found.not_measured
    assert found.val_images == 48
    assert len(family_table(found)[1]) == 6


def test_a_run_at_another_resolution_is_in_the_space_for_check_as_for_predict(run):
    """Its resolution is that of its images: the shape alone is what a space speaks of."""
    with pytest.raises(RepvitNasError, match=r"stages\[0\]\.width is not in space") as refused:
        checked_architecture(str(run), None)
    assert check_run(run).promises[0].found in str(refused.value)

    stages = [
        StageSpace(width=(stage.width,), depth=(stage.depth,), se=("alternate",), expansion=(2.0,))
        for stage in read_training(run).asked.architecture.stages
    ]
    space = SpaceFile(
        name="mine", stages=tuple(stages), allowed=Allowed(kernel=(3, 5, 7), se="any")
    )
    kept = msgspec.structs.replace(read_training(run), space=space)
    write_json(run / TRAINING_FILE, kept)

    assert checked_architecture(str(run), None).resolution < space.resolution.min
    promise = check_run(run).promises[0]
    assert (promise.kept, promise.promised) == (True, "in mine")
    assert check_run(run, Where(space="repvit")).promises[0].kept is False


def test_without_the_images_a_check_says_what_it_cannot_check(run):
    record = read_training(run)
    data = DataSpec(name="gone/pictures")
    asked = msgspec.structs.replace(record.asked, data=data)
    write_json(run / "training.json", msgspec.structs.replace(record, asked=asked))
    said = []

    found = check_run(run, say=said.append)

    (accuracy,) = [promise for promise in found.promises if promise.name == "accuracy"]
    assert accuracy.kept is None
    assert accuracy.found == "not checked: --data gone/pictures: is no folder; give --data PATH"
    assert "accuracy is not checked" in said[0]
    assert found.val_images == 0
    assert chance_line(found) == ""
    assert broken(found) == ["search space"]
    assert [row[1] for row in promise_rows(found) if row[0] == "accuracy"] == ["not checked"]
    assert "of 32 random and drawn" in {p.name: p.found for p in found.promises}["form fused"]
    assert msgspec.structs.replace(found, promises=(accuracy,)).kept

    # Where they are now, it is checked.
    again = check_run(run, data="shapes")
    assert again.val_images == 2400
    assert all(promise.kept is not None for promise in again.promises)
    with pytest.raises(RepvitNasError, match="--data nowhere: is no folder"):
        check_run(run, data="nowhere")


def test_a_core_ml_device_that_is_not_here_is_a_line_of_the_report(run, elsewhere):
    """It was an error after all promises had been checked."""
    home = elsewhere / "latency_lut" / "iphone12"
    home.mkdir(parents=True)
    for name in ("device.json", "published.csv"):
        shutil.copy(shipped_root() / "latency_lut/iphone12" / name, home / name)
    given = read_to_check(run, Where())
    device = json.loads((home / "device.json").read_text())
    runtime = {"name": "coreml", "target": "iphone12"}
    changed = {"kind": "measured", "protocol": PROTOCOL_VERSION, "runtime": runtime}
    (home / "device.json").write_text(json.dumps(device | changed))

    found = check(given, Where())

    assert found.measured_ms is None
    assert "Mac" in found.not_measured
    assert measured_lines(found)[0] == f"Not measured: {found.not_measured}"
    assert read_json(run / "check.json", CheckRecord) == found


def test_the_command_ends_with_1_when_a_promise_is_broken(run, capsys):
    assert _run(["check", str(run), "--json"], debug=False) == 1
    assert '"kept": false' in capsys.readouterr().out


def test_the_standard_error_is_that_of_a_share(run, row):
    """97 % of 360: the square root of 0.97 x 0.03 / 360 is 0.0090."""
    found = check_run(run)
    assert found.val_images == 48
    found = msgspec.structs.replace(found, variant=row(1.0, 97.0), val_images=360)

    assert standard_error(found) == pytest.approx(0.90, abs=0.005)


def test_an_unknown_space_is_refused_before_anything_is_computed(run):
    """A typing error in --space was told after the family was trained and all images validated on."""
    with pytest.raises(UnknownNameError, match="repvt.*did you mean 'repvit'"):
        read_to_check(run, Where(space="repvt"))


def test_what_cannot_be_checked_is_said(run, tmp_path):
    with pytest.raises(RepvitNasError, match="holds no training run"):
        check_run(tmp_path)
    with pytest.raises(RepvitNasError, match="device 'phone' is not known"):
        check_run(run, Where(device="phone"))
