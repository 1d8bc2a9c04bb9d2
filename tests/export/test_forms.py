import shutil

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_support import small

import repvit_nas
from repvit_nas import files
from repvit_nas.architecture import read_architecture
from repvit_nas.conversion.converter import coremltools
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.forms import export_run, export_trained, export_untrained
from repvit_nas.export.images import run_images
from repvit_nas.export.records import read_export
from repvit_nas.export.subject import trained_subject
from repvit_nas.networks import adapted, read_network
from repvit_nas.report.export import export_lines
from repvit_nas.search_space.path import path_network
from repvit_nas.training.data import open_data
from repvit_nas.training.records import read_training
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.trained import trained_run
from repvit_nas.units import rows


def test_every_form_answers_as_the_network_that_was_trained(run):
    record = read_export(run)
    forms = {form.name: form for form in record.forms}

    assert set(forms) == {"fused", "onnx", "coreml"}
    assert forms["fused"].error <= forms["fused"].allowed == record.rounding.allowed <= 1e-4
    assert forms["onnx"].error <= forms["onnx"].allowed == record.rounding.allowed
    assert (record.rounding.images, record.rounding.factor) == (16, 4.0)
    assert record.compared_on == "validation images of shapes"
    assert not record.missing
    assert not record.untrained
    assert forms["coreml"].error <= 1e-2
    assert forms["fused"].agreement == forms["onnx"].agreement == 100
    assert forms["fused"].images == forms["onnx"].images == 48
    assert record.unfused_ms > 0 < record.fused_ms


def test_the_fused_file_has_the_parameters_of_the_closed_form(run):
    architecture = repvit_nas.load(run).architecture
    stored = sum(value.numel() for value in load_file(run / "fused.safetensors").values())

    assert stored == sum(unit.params for unit in rows(architecture))


def test_what_was_exported_before_is_kept_with_its_promise(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    before = {form.name: form for form in read_export(run).forms}

    after = {form.name: form for form in export_run(tmp_path / "run", ("onnx",), limit=8).forms}

    assert set(after) == {"fused", "onnx", "coreml"}
    assert after["coreml"] == before["coreml"]
    assert after["onnx"].images == 8
    (tmp_path / "run" / "model.onnx").write_bytes(b"other")
    assert {form.name for form in export_run(tmp_path / "run", (), limit=8).forms} == {
        "fused",
        "coreml",
    }


@pytest.mark.parametrize("formats", [("onnx", "pytorch"), ("tflite",)])
def test_unknown_formats_are_refused(run, formats):
    with pytest.raises(RepvitNasError, match="--format must be among onnx, coreml; got"):
        export_run(run, formats)


def test_a_run_of_other_weights_is_refused(run, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    weights = load_file(other / "model.safetensors")
    with pytest.raises(RepvitNasError, match="holds no training run"):
        export_run(tmp_path, ())
    weights["stem.conv1.c.weight"] *= torch.nan
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(RepvitNasError, match=r"model\.safetensors: is not what was written"):
        export_run(other, ())
    trained = trained_run(other)
    subject = trained_subject(trained, verify=False)
    with pytest.raises(RepvitNasError, match="differs from the training form by nan"):
        export_trained(subject, other, run_images(trained.record))


def renamed(run, folder):
    """A copy of a run whose images were in a folder that is not here."""
    shutil.copytree(run, folder)
    record = read_training(folder)
    classes = tuple(f"{number:02d} {name}" for number, name in enumerate(record.classes))
    data = DataSpec(name="gone/pictures")
    asked = msgspec.structs.replace(record.asked, data=data)
    files.write_json(
        folder / "training.json", msgspec.structs.replace(record, asked=asked, classes=classes)
    )
    return folder, classes


def test_without_the_images_forms_are_compared_on_drawn_ones(run, tmp_path):
    folder, _ = renamed(run, tmp_path / "run")

    record = export_run(folder, ("onnx",))

    assert record.missing == "--data gone/pictures: is no folder"
    assert record.compared_on == "32 random and drawn images"
    assert {form.images for form in record.forms if form.name != "coreml"} == {32}
    assert all(form.error <= form.allowed for form in record.forms)
    assert "not on validation images: --data gone/pictures" in " ".join(export_lines(record))


def test_images_may_be_elsewhere_and_those_to_train_on_nowhere(run, tmp_path):
    folder, classes = renamed(run, tmp_path / "run")
    drawn = open_data(read_training(run).asked.data, 32).val
    for index in range(len(drawn)):
        image, target = drawn[index]
        place = tmp_path / "moved" / "val" / classes[target]
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{index}.png")

    for data in (tmp_path / "moved", tmp_path / "moved" / "val"):
        record = export_run(folder, (), data=str(data))
        assert (record.missing, record.forms[0].images) == ("", 48)
        assert record.compared_on == f"validation images in {data}"
    shutil.rmtree(tmp_path / "moved" / "val" / classes[3])
    with pytest.raises(RepvitNasError, match="23 classes, the run was trained on 24.*03 "):
        export_run(folder, (), data=str(tmp_path / "moved"))
    with pytest.raises(RepvitNasError, match="--data nowhere: is no folder"):
        export_run(folder, (), data="nowhere")


def test_an_untrained_core_ml_package_says_so_and_answers_as_torch(tmp_path):
    record = export_untrained(small(), ("onnx", "coreml"), tmp_path)

    assert [form.file for form in record.forms] == ["untrained.onnx", "untrained.mlpackage"]
    assert all(form.error <= form.allowed for form in record.forms)
    model = coremltools().models.MLModel(
        str(tmp_path / "untrained.mlpackage"), skip_model_load=True
    )
    assert "untrained" in model.short_description
    assert "untrained" in model.user_defined_metadata["repvit_nas.trained"]
    assert "untrained" in " ".join(export_lines(record))


def test_two_exports_of_a_network_are_the_same_bytes(tmp_path):
    digests = [
        [form.digest for form in export_untrained(small(), ("coreml",), tmp_path / name).forms]
        for name in ("one", "other")
    ]

    assert digests[0] == digests[1]


def test_an_untrained_network_does_not_take_a_runs_place(run, tmp_path):
    with pytest.raises(RepvitNasError, match="holds a training run"):
        export_untrained(small(), ("onnx",), run)
    with pytest.raises(RepvitNasError, match="--opset is of an ONNX file"):
        export_untrained(small(), ("coreml",), tmp_path, opset=17)


@pytest.mark.parametrize("step", ["1", "5"])
def test_a_network_told_by_its_units_is_exported_as_any_other(tmp_path, step):
    network = adapted(path_network(step), resolution=64, num_classes=10)

    record = export_untrained(network, ("onnx", "coreml"), tmp_path)

    assert [form.name for form in record.forms] == ["onnx", "coreml"]
    assert all(form.error <= form.allowed for form in record.forms)
    assert read_network(tmp_path / "architecture.json") == network


def test_a_plain_network_is_exported_as_any_other(tmp_path):
    first, *others = small().stages
    stages = (first, *(msgspec.structs.replace(stage, downsample="plain") for stage in others))
    network = msgspec.structs.replace(small(), stages=stages)

    record = export_untrained(network, ("onnx", "coreml"), tmp_path)

    assert all(form.error <= form.allowed for form in record.forms)
    assert read_architecture(tmp_path / "architecture.json") == network
