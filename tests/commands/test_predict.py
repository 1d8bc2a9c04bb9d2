"""`predict`: milliseconds, with where they come from."""

import json
import shutil

import pytest
from support import ROOT, write_narrow

from repvit_nas.named import load_architecture


def test_predict_says_where_the_number_comes_from(invoke):
    code, out, err = invoke("predict", "repvit_m1_0")

    assert code == 0
    assert "modelled" in out
    assert "90%" in out
    assert err == "predictor: iphone12, modelled, from iphone12 (shipped with repvit-nas)\n"


def test_predict_as_json(invoke):
    code, out, _ = invoke(
        "predict", "repvit_m1_0", "--device", "iphone13", "--json", "--interval", "0.5"
    )
    document = json.loads(out)

    assert code == 0
    assert set(document) >= {"latency_ms", "low_ms", "high_ms", "interval", "device", "source"}
    assert document["device"] == "iphone13"
    assert document["interval"] == 0.5
    assert document["source"] == "modelled"
    assert document["low_ms"] < document["latency_ms"] < document["high_ms"]


def test_predict_of_several_networks_on_several_devices(invoke):
    names, devices = ["repvit_m0_9", "repvit_m1_0"], ["iphone12", "iphone13"]
    words = ["predict", *names, *(word for name in devices for word in ("--device", name))]
    _, alone, _ = invoke("predict", "repvit_m1_0", "--device", "iphone13", "--json")

    code, out, err = invoke(*words, "--json")
    documents = json.loads(out)

    assert code == 0
    assert [(d["architecture"], d["device"]) for d in documents] == [
        (name, device) for name in names for device in devices
    ]
    assert documents[-1] == json.loads(alone)
    assert err.count("predictor: ") == 2  # each copy is named once
    _, table, _ = invoke(*words)
    assert all(f"{d['latency_ms']:.3f}" in table for d in documents)


def test_predict_at_another_resolution(invoke):
    _, small, _ = invoke("predict", "repvit_m1_1", "--json")
    code, out, _ = invoke("predict", "repvit_m1_1", "--resolution", "512")
    _, large, _ = invoke("predict", "repvit_m1_1", "--resolution", "512", "--json")

    assert code == 0
    assert out.startswith("repvit_m1_1 at 512 px on iphone12: ")
    assert json.loads(large)["resolution"] == 512
    assert 2 < json.loads(large)["latency_ms"] / json.loads(small)["latency_ms"] < 512**2 / 224**2


def test_a_network_outside_is_taken_with_a_wider_space(invoke, outside):
    text = (ROOT / "search_space" / "repvit.toml").read_text()
    for low, wide in ((32, 80), (64, 160), (128, 320), (256, 640)):
        text = text.replace(f"min = {low}, max = {wide}", f"min = 8, max = {wide}")
    text = text.replace("min = 6, max = 36", "min = 1, max = 36")
    (outside / "wide.toml").write_text(text)

    code, out, _ = invoke("predict", "outside.json", "--space", "wide.toml", "--json")

    assert code == 0
    assert json.loads(out)["latency_ms"] > 0


@pytest.mark.parametrize(
    "command", [["predict", "repvit_m0_9"], ["show", "repvit_m0_9"], ["family"]]
)
def test_the_copy_of_the_predictor_is_named(invoke, elsewhere, command):
    def named():
        _, out, err = invoke(*command, "--json")
        document = json.loads(out)
        return err, (document[0] if command == ["family"] else document)["predictor"]

    shipped = "iphone12 (shipped with repvit-nas)"
    assert named() == (f"predictor: iphone12, modelled, from {shipped}\n", shipped)

    shutil.copytree(ROOT / "predictors" / "iphone12", elsewhere / "predictors" / "iphone12")

    own = "predictors/iphone12"
    assert named() == (f"predictor: iphone12, modelled, from {own}\n", own)


def test_a_winner_of_a_wider_space_is_predicted_without_naming_it(invoke, elsewhere):
    asked = ("search", "--budget-ms", "0.57", "--trials", "50", "--space", write_narrow(elsewhere))
    assert invoke(*asked, "--out", "run")[0] == 0
    best = load_architecture("run:best")
    assert best.stages[0].width == 24  # less than the space repvit has

    for command in ("predict", "show"):
        assert invoke(command, "run:best")[0] == 0


def test_an_encoder_is_predicted_at_1024_px(invoke):
    """RepViT-SAM's encoder: 48.9 ms published (sam/README of THU-MIG/RepViT@298f420)."""
    code, out, _ = invoke("predict", "repvit_m2_3", "--output", "sam", "--json")
    found = json.loads(out)

    assert code == 0
    assert (found["output"], found["resolution"]) == ("sam", 1024)
    assert found["low_ms"] < 48.9 < found["high_ms"]
    assert found["latency_ms"] == pytest.approx(48.9, rel=0.05)
