import pytest
from matplotlib.figure import Figure

import repvit_nas
from repvit_nas.errors import WrongTypeError


def test_the_path_stands_beside_what_was_published():
    found = repvit_nas.path()
    frame = found.to_frame().set_index("step")

    assert frame.loc["6", "published_ms"] == 0.77  # arXiv:2307.09283v8, section 3.3
    assert frame.loc["6", "published_step_top1"] == pytest.approx(-0.6)
    assert frame.loc["9", "latency_ms"] == repvit_nas.predict("repvit_m0_9").latency_ms
    assert set(frame["predictor"]) == {found.found}
    assert found.plot(Figure().subplots()).get_ylabel() == "latency on iphone12, ms"
    assert "MobileNetV3" in found._repr_html_()
    with pytest.raises(WrongTypeError, match="device must be"):
        repvit_nas.path(None)


def test_a_network_of_the_path_is_read_and_written(tmp_path):
    repvit_nas.write(tmp_path / "three.json", "path:3")

    network = repvit_nas.read(tmp_path / "three.json")
    assert repvit_nas.predict(network).latency_ms == repvit_nas.predict("path:3").latency_ms
    assert repvit_nas.describe(str(tmp_path / "three.json")).content.macs == 382_274_368
