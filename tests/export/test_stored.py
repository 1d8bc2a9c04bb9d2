"""Weights of fewer bits in a classifier: what the package stores, and what that changes."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import repvit_nas
from repvit_nas.conversion.mil import read_package
from repvit_nas.errors import RepvitNasError
from repvit_nas.export.forms import export_run, export_untrained
from repvit_nas.export.records import read_export
from repvit_nas.export.stored import check_stored, holding


@pytest.fixture(scope="module")
def stored(run, tmp_path_factory):
    """The run with weights of 4 and 8 bits beside its other forms."""
    folder = tmp_path_factory.mktemp("stored") / "run"
    shutil.copytree(run, folder)
    for bits in (8, 4):
        export_run(folder, ("coreml",), weights=bits, limit=16)
    return folder


def test_each_number_of_bits_has_a_form_of_its_own(stored):
    forms = {form.name: form for form in read_export(stored).forms}

    assert set(forms) == {"fused", "onnx", "coreml", "coreml-w8", "coreml-w4"}
    half, eight, four = (forms[name] for name in ("coreml", "coreml-w8", "coreml-w4"))
    assert half.fewer_bits is None
    assert four.file == "model-w4.mlpackage"
    assert (eight.fewer_bits.bits, four.fewer_bits.bits) == (8, 4)
    assert eight.fewer_bits.stored == four.fewer_bits.stored > 30
    # The bytes of what is stored in 4 bits are a quarter, and a table of 32 bytes for each tensor.
    weights = {name: Path(stored / forms[name].file / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size for name in ("coreml", "coreml-w4")}  # fmt: skip
    share = four.fewer_bits.stored / 100
    assert weights["coreml-w4"] / weights["coreml"] == pytest.approx(1 - 0.75 * share, abs=0.05)
    # The program is the network with these weights; what they change is said beside that.
    assert max(eight.error, four.error) < 1e-2
    assert four.fewer_bits.change > 0
    assert four.fewer_bits.top1_images == 16
    assert four.fewer_bits.top1 % (100 / 16) == 0


def test_a_weight_that_is_stored_as_another_is_noticed(stored):
    half = read_package(stored / "model.mlpackage")
    for bits in (8, 4):
        found = read_package(stored / f"model-w{bits}.mlpackage")
        check_stored(half, found, bits)
        name = next(iter(found.bits))
        other = found.weights[name].copy()
        values = np.unique(other)
        other.flat[0] = values[0] if other.flat[0] > values[len(values) // 2] else values[-1]
        wrong = found._replace(weights=found.weights | {name: other})

        with pytest.raises(RepvitNasError, match="biases of 1 layers are not those"):
            check_stored(half, wrong, bits)
        with pytest.raises(RepvitNasError, match="has other operations than in half"):
            check_stored(half, found._replace(operations=found.operations[1:]), bits)


def test_the_network_that_a_package_holds_differs_in_large_tensors_alone(stored):
    fused = repvit_nas.reparameterize(repvit_nas.load(stored))
    half, four = (read_package(stored / name) for name in ("model.mlpackage", "model-w4.mlpackage"))

    held = holding(fused, half, four)

    for name, value in fused.state_dict().items():
        kept = held.state_dict()[name]
        large = value.ndim > 1 and value.numel() > 2048
        close = torch.allclose(value, kept, rtol=2**-10, atol=2**-24)
        assert close != large, name
        assert not large or len(kept.unique()) <= 16


@pytest.mark.parametrize("formats", [("onnx",), ("onnx", "coreml"), ()])
def test_a_form_without_weights_of_fewer_bits_is_refused(run, formats):
    with pytest.raises(
        RepvitNasError, match=r"--weights 6 is of a Core ML package, and (onnx|fused)"
    ):
        export_run(run, formats, weights=6)


@pytest.mark.parametrize("bits", [3, 2, 5, 32, 0, True])
def test_bits_that_core_ml_does_not_take_are_refused(run, tmp_path, bits):
    with pytest.raises(RepvitNasError, match="--weights must be 8, 6 or 4 bits, or 16 for half"):
        export_run(run, ("coreml",), weights=bits)
    architecture = msgspec.structs.replace(repvit_nas.load(run).architecture, name="small")
    with pytest.raises(RepvitNasError, match="--weights must be 8, 6 or 4 bits"):
        export_untrained(architecture, ("coreml",), tmp_path / "out", weights=bits)
    assert not (tmp_path / "out").exists()
