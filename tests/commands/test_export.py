"""`export`: what it asks for."""

from repvit_nas.commands import _run


def test_an_export_needs_a_format(here, capsys):
    assert _run(["export", "run", "--format", ""], debug=False) == 1
    assert "--format must name onnx, coreml, or both" in capsys.readouterr().err
