"""Networks that hand back maps, in every form: named outputs, pictures, padding."""

import functools

import numpy as np
import onnxruntime
import pytest
import torch
from support import randomize
from training_support import small

from repvit_nas.architecture import with_output
from repvit_nas.conversion.converter import coremltools
from repvit_nas.conversion.mil import read_package, run_named
from repvit_nas.errors import RepvitNasError
from repvit_nas.export import maps
from repvit_nas.export.comparing import scoring
from repvit_nas.export.forms import export_run, export_untrained
from repvit_nas.export.fused import fuse
from repvit_nas.export.subject import untrained_subject
from repvit_nas.named import load_network, shaped

NAMES = {
    "features": ["stride_4", "stride_8", "stride_16", "stride_32"],
    "sam": ["embedding"],
    "sam-fused": ["embedding"],
}


@functools.cache
def network(output):
    return with_output(small(), output, resolution=32)


@pytest.mark.parametrize("output", list(NAMES))
def test_every_form_names_its_maps_and_gives_the_same(tmp_path, output):
    record = export_untrained(network(output), ("onnx", "coreml"), tmp_path)

    assert [form.name for form in record.forms] == ["onnx", "coreml"]
    assert all(form.error <= form.allowed for form in record.forms)
    session = onnxruntime.InferenceSession(str(tmp_path / "untrained.onnx"))
    assert [each.name for each in session.get_outputs()] == NAMES[output]
    package = coremltools().models.MLModel(
        str(tmp_path / "untrained.mlpackage"), skip_model_load=True
    )
    described = package.get_spec().description
    assert [each.name for each in described.output] == NAMES[output]
    assert described.input[0].type.imageType.width == 32
    assert [each.name for each in described.input[1:]] == ([] if output == "features" else ["size"])
    assert package.user_defined_metadata["repvit_nas.output"] == output


def test_maps_of_weights_in_six_bits_are_those_of_the_network_with_these_weights(tmp_path):
    record = export_untrained(network("features"), ("coreml",), tmp_path, weights=6)

    (form,) = record.forms
    assert (form.name, form.file) == ("coreml-w6", "untrained-w6.mlpackage")
    assert form.error <= form.allowed
    assert (form.fewer_bits.bits, form.fewer_bits.top1) == (6, None)
    assert set(read_package(tmp_path / form.file).bits.values()) == {6}


def by_torch(model, canvas, height, width):
    """Return the map of a picture in a canvas: prepared, then padded with nothing."""
    mean, std = (np.array(model.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    prepared = np.zeros_like(canvas)
    prepared[..., :height, :width] = ((canvas / 255 - mean) / std)[..., :height, :width]
    with torch.no_grad():
        return model(torch.from_numpy(prepared)).numpy()


def apart(one, other):
    """Return how far maps are apart, relative root mean square."""
    return float(np.sqrt(np.square(one - other).mean() / np.square(other).mean()))


def test_what_lies_beyond_the_picture_does_not_count(tmp_path):
    """The same picture of 24x16 on two canvases, and by torch with zeros after the preprocessing."""
    subject = untrained_subject(network("sam"))
    model = randomize(subject.model)
    package = tmp_path / "sam.mlpackage"
    maps.core_ml_maps(
        package,
        fuse(model).single,
        subject._replace(model=model),
        images=torch.randn(2, 3, 32, 32),
        scores=scoring(model),
    )
    program = read_package(package)
    draw = np.random.default_rng(0)
    canvas = draw.integers(0, 256, (1, 3, 32, 32)).astype(np.float32)
    other = draw.integers(0, 256, (1, 3, 32, 32)).astype(np.float32)
    other[..., :24, :16] = canvas[..., :24, :16]
    size = np.array([24, 16], np.float32)

    one, two = (
        run_named(program, {"image": image, "size": size})["embedding"] for image in (canvas, other)
    )

    assert np.array_equal(one, two)
    assert apart(one, by_torch(model, canvas, 24, 16)) < 1e-2
    moved = run_named(program, {"image": canvas, "size": np.array([24, 17], np.float32)})
    assert not np.array_equal(moved["embedding"], one)


def test_features_of_a_trained_classifier_lie_beside_its_own_forms(run):
    record = export_run(run, ("onnx",), output="features")

    assert sorted(path.name for path in (run / "features").iterdir() if path.suffix) == [
        "export.json",
        "fused.safetensors",
        "model.onnx",
    ]
    assert {form.name for form in record.forms} == {"fused", "onnx"}
    assert record.compared_on.startswith("validation images")


def test_a_package_pads_no_more_than_half_precision_counts(tmp_path):
    subject = untrained_subject(with_output(small(), "sam", resolution=2064))

    with pytest.raises(RepvitNasError, match="pads to at most 2048 px; got an encoder of 2064 px"):
        maps.core_ml_maps(
            tmp_path / "x.mlpackage", subject.model, subject, images=torch.empty(0), scores=list
        )


@pytest.mark.slow
@pytest.mark.parametrize("output", ["sam", "sam-fused"])
def test_a_package_of_full_size_is_torchs_network_of_the_padded_picture(tmp_path, output):
    """RepViT-M0.9 as an encoder of 1024 px, a picture of 683x1024 in it: 2.0e-3 and 1.6e-3 apart, in ten seconds each."""
    side, height, width = 1024, 1024, 683
    subject = untrained_subject(shaped(load_network("repvit_m0_9"), output))
    model = randomize(subject.model)
    package = tmp_path / "sam.mlpackage"
    form, _, _ = maps.core_ml_maps(
        package,
        fuse(model).single,
        subject._replace(model=model),
        images=torch.randn(1, 3, side, side),
        scores=scoring(model),
    )
    draw = np.random.default_rng(0)
    canvas = draw.integers(0, 256, (1, 3, side, side)).astype(np.float32)
    size = np.array([height, width], np.float32)

    found = run_named(read_package(package), {"image": canvas, "size": size})["embedding"]

    assert form.error < 1e-2
    assert found.shape == (1, 256, 64, 64)
    assert apart(found, by_torch(model, canvas, height, width)) < 1e-2
    assert apart(found, by_torch(model, canvas, height, side)) > 1e-2
