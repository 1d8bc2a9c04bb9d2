"""How the exported forms of a run stand."""

import shutil

from repvit_nas.export.images import run_images
from repvit_nas.export.records import read_export
from repvit_nas.export.standing import standing_forms
from repvit_nas.export.subject import trained_subject
from repvit_nas.training.trained import trained_run


def standing(folder, *, keep=True):
    trained = trained_run(folder)
    return standing_forms(trained_subject(trained), folder, run_images(trained.record), keep=keep)


def test_forms_that_are_as_they_were_written_have_their_digests(run):
    found = standing(run)

    assert found.record == read_export(run)
    assert found.now == {form.file: form.digest for form in found.record.forms}
    assert found.strange == ()


def test_what_was_changed_or_removed_since_is_told(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "model.onnx").write_bytes(b"other")
    (folder / "fused.safetensors").unlink()
    shutil.copytree(folder / "model.mlpackage", folder / "model-w6.mlpackage")

    found = standing(folder)

    known = {form.file: form.digest for form in found.record.forms}
    assert found.now["model.mlpackage"] == known["model.mlpackage"]
    assert found.now["fused.safetensors"] == ""
    assert found.now["model.onnx"] not in ("", known["model.onnx"])
    assert found.strange == ("model-w6.mlpackage",)


def test_where_nothing_was_exported_the_fused_form_is_made(run, tmp_path):
    names = ("model.safetensors", "training.json", "config.json", "architecture.json")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in names:
        shutil.copy(run / name, folder / name)

    gone = standing(folder, keep=False)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    kept = standing(folder)

    assert [form.name for form in gone.record.forms] == ["fused"]
    assert gone.now == kept.now
    assert read_export(folder) == kept.record
    assert (folder / "fused.safetensors").is_file()
