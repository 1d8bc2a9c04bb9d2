"""`show`: a network row by row."""

import json

import msgspec
import pytest

from repvit_nas.architecture import write_architecture
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space import family


def test_show_of_several_networks_at_another_resolution(invoke):
    code, out, _ = invoke("show", "repvit_m0_9", "repvit_m1_0", "--resolution", "256", "--json")
    first, second = json.loads(out)

    assert code == 0
    assert first["architecture"]["resolution"] == second["architecture"]["resolution"] == 256
    assert first["macs"] > 815_617_344
    assert first["params"] == 5067056


def test_show_as_json_adds_up(invoke):
    code, out, _ = invoke("show", "repvit_m0_9", "--json")
    document = json.loads(out)

    assert code == 0
    assert set(document) >= {"rows", "macs", "params", "size_bytes", "accuracy", "accuracy_std"}
    assert document["params"] == 5067056
    assert document["size_bytes"] == 2 * 5067056
    assert sum(row["macs"] for row in document["rows"]) == document["macs"]
    assert sum(row["latency_ms"] for row in document["rows"]) + document[
        "overhead_ms"
    ] == pytest.approx(document["latency_ms"], abs=1e-3)
    assert len(document["rows"]) == 1 + 20 + 3 * 3 + 1


def test_show_says_of_every_unit_where_its_latency_comes_from(invoke):
    _, out, _ = invoke("show", "repvit_m0_9", "--device", "cpu-epyc", "--foreign", "--json")
    document = json.loads(out)
    timed = {
        json.dumps(msgspec.to_builtins(item.unit), sort_keys=True)
        for item in load_predictor("cpu-epyc", foreign=True)[0].measured.units
    }

    for row in document["rows"]:
        known = json.dumps(row["unit"], sort_keys=True) in timed
        assert (row["source"] == "measured") == known
    assert {row["source"] for row in document["rows"]} == {"measured", "interpolated"}
    assert document["source"] == "interpolated"  # the weakest of its units'


def test_show_for_people(invoke):
    code, out, _ = invoke("show", "repvit_m0_9")

    assert code == 0
    assert "48-96-192-384 / 2-2-14-2 / se ½ / x2" in out
    assert "modelled" in out
    assert "estimated" in out


def test_a_name_with_markup_is_shown_as_it_is(invoke, elsewhere):
    write_architecture(
        elsewhere / "mine.json",
        msgspec.structs.replace(family()["repvit_m0_9"].architecture, name="[red]mine[/red]"),
    )

    code, out, _ = invoke("show", "mine.json")

    assert code == 0
    assert "[red]mine[/red]" in out
