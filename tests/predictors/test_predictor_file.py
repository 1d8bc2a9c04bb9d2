import json

import pytest
from support import ROOT

from repvit_nas.errors import FileError
from repvit_nas.predictors.predictor_file import read_predictor_file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d | {"schema": 9}, ["`schema` must be 1", "got 9"]),
        (lambda d: d | {"columns": ["pointwise"]}, ["coefficients must be 1", "got 3"]),
        (lambda d: d | {"columns": ["magic"]}, ["columns", "magic"]),
        (lambda d: d | {"members": []}, ["members"]),
        (lambda d: d | {"source": "guessed"}, ["source", "guessed"]),
        (lambda d: {k: v for k, v in d.items() if k != "quantile"}, ["quantile"]),
        (lambda d: d | {"members": [d["members"][0] | {"coefficients": [1.0]}]}, ["coefficients"]),
    ],
)
def test_a_bad_predictor_file_is_refused(tmp_path, change, words):
    document = json.loads((ROOT / "predictors" / "iphone12" / "predictor.json").read_text())
    (tmp_path / "p.json").write_text(json.dumps(change(document)))

    with pytest.raises(FileError) as error:
        read_predictor_file(tmp_path / "p.json")

    for word in ["p.json", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["members"][0] | {"overhead_ms": -5}, ["overhead_ms", "-5"]),
        (lambda d: d["members"][0] | {"coefficients": [-1.0] * 6}, ["coefficients", "-1.0"]),
        (lambda d: d["members"][0] | {"coefficients": [1e300] * 6}, ["coefficients", "1e+300"]),
    ],
)
def test_a_member_of_the_ensemble_is_within_what_can_be(tmp_path, change, words):
    document = json.loads((ROOT / "predictors" / "iphone12" / "predictor.json").read_text())
    document["members"][0] = change(document)
    (tmp_path / "p.json").write_text(json.dumps(document))

    with pytest.raises(FileError) as error:
        read_predictor_file(tmp_path / "p.json")

    for word in ["members[0]", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("quantile", -1, ">= 1e-06"),
        ("quantile", 0, ">= 1e-06"),
        ("misfit", -0.1, ">= 0"),
        ("large_misfit", 1e20, "<= 1"),
        ("source", "measured", "must be modelled without a measured part; got measured"),
        ("source", "interpolated", "must be modelled without a measured part"),
    ],
)
def test_intervals_and_sources_of_a_predictor_are_what_they_can_be(tmp_path, field, value, rule):
    document = json.loads((ROOT / "predictors" / "iphone12" / "predictor.json").read_text())
    (tmp_path / "p.json").write_text(json.dumps(document | {field: value}))

    with pytest.raises(FileError) as error:
        read_predictor_file(tmp_path / "p.json")

    assert rule in str(error.value)
