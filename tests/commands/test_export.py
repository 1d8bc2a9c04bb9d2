"""`export`: what it asks for."""

from training_support import small, train_small

from repvit_nas.architecture import read_architecture, write_architecture
from repvit_nas.commands import _run


def test_an_export_needs_a_format(here, capsys):
    assert _run(["export", "run", "--format", ""], debug=False) == 1
    assert "--format must name onnx, coreml, or both" in capsys.readouterr().err


def test_an_encoder_is_exported_for_a_latency_test(invoke, tmp_path):
    write_architecture(tmp_path / "small.json", small())
    asked = ("--output", "sam", "--resolution", "64", "--format", "onnx", "--out")

    code, out, _ = invoke("export", str(tmp_path / "small.json"), *asked, str(tmp_path / "out"))

    assert code == 0
    assert "untrained.onnx" in out
    assert read_architecture(tmp_path / "out" / "architecture.json").output == "sam"


def test_features_of_a_trained_classifier_leave_its_head_out_and_that_is_said(invoke, tmp_path):
    run = train_small(tmp_path / "run")

    code, _, err = invoke("export", str(run), "--output", "features", "--format", "onnx")

    assert code == 0
    assert f"{run} was trained for logits: its head is left out" in err
    assert (run / "features" / "model.onnx").is_file()
