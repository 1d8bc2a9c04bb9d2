"""`family`: the reference networks, published against predicted."""

import json

import msgspec
import pytest

from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space import family


def test_family_on_several_devices(invoke):
    code, out, _ = invoke("family", "--device", "iphone12", "--device", "iphone13", "--json")
    rows = [(row["device"], row["network"]) for row in json.loads(out)]

    assert code == 0
    assert rows == [(device, name) for device in ("iphone12", "iphone13") for name in family()]


def test_family_as_json(invoke):
    code, out, _ = invoke("family", "--json")
    document = {row["network"]: row for row in json.loads(out)}

    assert code == 0
    assert list(document) == list(family())
    assert document["repvit_m0_9"]["published_ms"] == 0.87
    assert document["repvit_m0_9"]["published_top1"] == 78.74
    assert abs(document["repvit_m2_3"]["latency_error"]) < 0.05
    assert document["repvit_m0_6"]["published_top1"] is None


def test_family_for_people(invoke):
    code, out, _ = invoke("family", "--device", "iphone13")

    assert code == 0
    assert "RepViT-M1.5" in out
    assert "modelled" in out


def test_the_family_at_another_resolution_is_compared_with_nothing_of_224_px(invoke):
    code, out, _ = invoke("family", "--resolution", "512", "--json")
    rows = {row["network"]: row for row in json.loads(out)}

    assert code == 0
    network = msgspec.structs.replace(family()["repvit_m1_1"].architecture, resolution=512)
    expected = load_predictor("iphone12")[0].estimate(network).latency_ms
    assert rows["repvit_m1_1"]["latency_ms"] == pytest.approx(expected)
    assert rows["repvit_m1_1"]["resolution"] == 512
    assert {row["published_ms"] for row in rows.values()} == {None}
    assert {row["accuracy_error"] for row in rows.values()} == {None}
    assert "at 512 px, of which nothing is published" in invoke("family", "--resolution", "512")[1]
