"""The ONNX form."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from training_support import small

import repvit_nas
from repvit_nas.architecture import read_architecture
from repvit_nas.export.forms import export_untrained
from repvit_nas.export.records import read_export
from repvit_nas.export.subject import untrained_subject


def test_the_onnx_file_stands_alone_and_takes_any_number_of_images(run):
    session = onnxruntime.InferenceSession(run / "model.onnx", providers=["CPUExecutionProvider"])
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = repvit_nas.load(run)(images).numpy()

    (found,) = session.run(None, {"image": images.numpy()})

    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    known = session.get_modelmeta().custom_metadata_map
    assert json.loads(known["classes"])[0] == "disc"
    assert json.loads(known["architecture"])["stages"][0]["width"] == 16
    assert known["weights_digest"] == read_export(run).digest


@pytest.mark.parametrize(
    ("opset", "gelu"), [(None, True), (20, True), (19, False), (17, False), (11, False)]
)
def test_an_untrained_network_runs_in_onnxruntime_as_in_torch(tmp_path, opset, gelu):
    architecture = small()

    record = export_untrained(architecture, ("onnx",), tmp_path, opset=opset)

    assert record.untrained
    assert record.opset == opset
    assert [form.file for form in record.forms] == ["untrained.onnx"]
    model = onnx.load(tmp_path / "untrained.onnx")
    onnx.checker.check_model(model)
    assert [one.version for one in model.opset_import] == [opset or 20]
    assert ("Gelu" in {node.op_type for node in model.graph.node}) == gelu
    if opset == 17:
        assert model.ir_version <= 8  # what the runtimes of its time read
    session = onnxruntime.InferenceSession(tmp_path / "untrained.onnx")
    assert "latency test only" in session.get_modelmeta().custom_metadata_map["trained"]
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network = untrained_subject(architecture).model
    with torch.inference_mode():
        expected = network(images).numpy()
    (found,) = session.run(None, {"image": images.numpy()})
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert read_architecture(tmp_path / "architecture.json") == architecture
