import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from support import ROOT, architectures

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError, UnknownNameError
from repvit_nas.predictors.predictor import (
    Predictor,
    PredictorFile,
    load_predictor,
    read_predictor,
)
from repvit_nas.search_space import family
from repvit_nas.units import rows


@pytest.fixture(scope="module")
def predictor():
    return load_predictor("iphone12")[0]


@given(architectures(max_width=256, max_depth=12, resolutions=(160, 512), classes=(0, 1000)))
@settings(max_examples=30)
def test_a_latency_is_the_overhead_and_the_sum_of_its_units(architecture):
    predictor = load_predictor("iphone12")[0]
    units = rows(architecture)

    estimate = predictor.estimate(architecture)

    by_member = predictor.overheads_ms + sum(predictor.unit_costs([unit])[0] for unit in units)
    assert estimate.latency_ms == pytest.approx(by_member.mean())
    assert estimate.low_ms < estimate.latency_ms < estimate.high_ms
    assert (estimate.device, estimate.source, estimate.interval) == ("iphone12", "modelled", 0.9)


def test_intervals_grow_with_confidence_as_a_normal_one(predictor):
    network = family()["repvit_m1_0"].architecture
    widths = [
        (e := predictor.estimate(network, interval)).high_ms - e.low_ms
        for interval in (0.5, 0.9, 0.99)
    ]

    assert widths[0] / widths[1] == pytest.approx(0.67449 / 1.64485, rel=1e-4)
    assert widths[2] / widths[1] == pytest.approx(2.57583 / 1.64485, rel=1e-4)


def test_intervals_grow_away_from_the_published_networks(predictor):
    """Relative width of the interval: on the family least, on stretched networks more."""

    def width(architecture):
        estimate = predictor.estimate(architecture)
        return (estimate.high_ms - estimate.low_ms) / estimate.latency_ms

    base = family()["repvit_m0_9"].architecture
    stages = list(base.stages)
    stages[0] = msgspec.structs.replace(stages[0], width=192, expansion=4.0, depth=6, se="0" * 6)
    stretched = msgspec.structs.replace(base, stages=tuple(stages))
    huge = msgspec.structs.replace(base, resolution=1024)

    assert width(stretched) > 1.5 * width(base)
    assert width(huge) > 1.5 * width(base)


@pytest.mark.parametrize("interval", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_a_confidence_outside_0_to_1_is_refused(predictor, interval):
    with pytest.raises(RepvitNasError, match="above 0 and at most 0.9999"):
        predictor.estimate(family()["repvit_m0_9"].architecture, interval)


def test_the_shipped_predictors_belong_to_the_shipped_tables():
    """What the shipped predictors were fitted on is what is shipped: nobody forgot to refit."""
    for device in ("iphone12", "iphone13"):
        fitted_on = load_predictor(device)[0].model.fitted_on
        published = (ROOT / "latency_lut" / device / "published.csv").read_bytes()
        assumptions = (ROOT / "predictors" / device / "assumptions.json").read_bytes()

        assert fitted_on.digest == files.digest(published)
        assert fitted_on.assumptions_digest == files.digest(assumptions)


def test_a_predictor_survives_its_file(predictor, tmp_path):
    files.write_json(tmp_path / "p.json", predictor.model)

    again = read_predictor(tmp_path / "p.json")

    network = family()["repvit_m1_5"].architecture
    assert again.estimate(network) == predictor.estimate(network)


def test_loading_needs_no_library_of_the_fit(predictor):
    """The file is coefficients and names: no pickle, no version of scikit-learn or scipy."""
    text = (ROOT / "predictors" / "iphone12" / "predictor.json").read_text()

    assert isinstance(json.loads(text), dict)
    assert isinstance(Predictor(msgspec.convert(json.loads(text), PredictorFile)), Predictor)


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
        read_predictor(tmp_path / "p.json")

    for word in ["p.json", *words]:
        assert word in str(error.value)


def test_a_device_without_predictor_says_what_to_run(elsewhere):
    folder = elsewhere / "latency_lut" / "mine"
    folder.mkdir(parents=True)
    text = (ROOT / "latency_lut" / "iphone12" / "device.json").read_text()
    (folder / "device.json").write_text(text.replace("iphone12", "mine"))

    with pytest.raises(RepvitNasError, match="repvit-nas fit --device mine"):
        load_predictor("mine")
    with pytest.raises(UnknownNameError, match="known: .*iphone12, iphone13, mine"):
        load_predictor("yours")


def test_costs_of_units_are_never_negative(predictor):
    units = list(rows(family()["repvit_m2_3"].architecture))

    assert (predictor.unit_costs(units) >= 0).all()
    assert np.isfinite(predictor.unit_costs(units)).all()
