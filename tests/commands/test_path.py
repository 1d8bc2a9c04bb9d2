"""`path`: the networks between MobileNetV3-L and RepViT-M0.9, and what takes them as ARCH."""

import json

import pytest

from repvit_nas.search_space.path import networks


def test_the_path_as_json(invoke):
    code, out, _ = invoke("path", "--json")
    rows = {row["step"]: row for row in json.loads(out)}

    assert code == 0
    assert list(rows) == list(networks())
    # arXiv:2307.09283v8, Fig. 2.
    assert (rows["0"]["published_ms"], rows["0"]["published_top1"]) == (1.01, 71.5)
    assert (rows["9"]["published_ms"], rows["9"]["published_top1"]) == (0.87, 77.4)
    assert rows["2"]["published_top1"] is None
    assert rows["5"]["published_step_ms"] == pytest.approx(0.10)
    assert rows["3b"]["published_step_ms"] is None
    assert rows["4"]["after"] == "3"
    assert any("SE" in text for text in rows["5"]["open"])
    assert max(abs(row["latency_error"]) for row in rows.values()) < 0.15


def test_the_path_for_people_and_as_a_picture(invoke, tmp_path):
    code, out, err = invoke("path", "--plot", str(tmp_path / "path.png"))

    assert code == 0
    assert "MobileNetV3-L" in out
    assert "9 of 9 steps go the published way" in " ".join(out.split())
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")
    assert "drawn in" in err


def test_one_picture_is_of_one_device(invoke, tmp_path):
    code, _, err = invoke(
        "path", "--device", "iphone12", "--device", "iphone13", "--plot", str(tmp_path / "p.png")
    )

    assert code == 1
    assert "--plot draws one device; got iphone12, iphone13" in err


def test_on_another_phone_it_is_only_predicted(invoke):
    code, out, _ = invoke("path", "--device", "iphone13", "--json")

    assert code == 0
    assert {row["published_ms"] for row in json.loads(out)} == {None}
    assert "steps go" not in invoke("path", "--device", "iphone13")[1]


def test_a_step_is_shown_and_predicted_as_any_network(invoke):
    shown = json.loads(invoke("show", "path:0", "--json")[1])
    predicted = json.loads(invoke("predict", "path:9", "repvit_m0_9", "--json")[1])

    assert shown["macs"] == 216_589_760
    assert (shown["accuracy"], shown["observed"]) == (None, 71.5)
    assert predicted[0]["latency_ms"] == predicted[1]["latency_ms"]
    assert "published: 71.50" in invoke("show", "path:0")[1]
    assert "estimated for RepViT alone" in " ".join(invoke("show", "path:2")[1].split())


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "path:3", "repvit_m0_9"),
        ("predict", "path:3", "--accuracy", "family"),
        ("show", "path:3", "--space", "repvit"),
    ],
)
def test_what_asks_for_stages_refuses_a_step_in_one_line(invoke, words):
    code, _, err = invoke(*words)

    assert code == 1
    assert "path_3_width is told by its units and has no stages" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "path:33"), "did you mean '3'"),
        (("predict", "path:3", "--resolution", "5"), "resolution must be 32 to 4096; got 5"),
        (("export", "path:3"), "is untrained: say with --out"),
    ],
)
def test_what_is_no_step_is_said_in_one_line(invoke, words, said):
    code, _, err = invoke(*words)

    assert code == 1
    assert said in err
