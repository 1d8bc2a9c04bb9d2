import shutil

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from support import ROOT, architectures

from repvit_nas import files
from repvit_nas.commands import _run
from repvit_nas.coreml.products import product
from repvit_nas.coreml.publishing import claim_folder
from repvit_nas.errors import FileError, RepvitNasError, UnknownNameError, UnknownUnitError
from repvit_nas.predictors.features import NAMES
from repvit_nas.predictors.lookup import MeasuredPart, TimedCosts, TimedUnit
from repvit_nas.predictors.physical import CostForm
from repvit_nas.predictors.predictor import (
    Predictor,
    load_predictor,
    read_predictor,
)
from repvit_nas.predictors.residual import PRIOR_KERNEL, Residual
from repvit_nas.search_space import family
from repvit_nas.units import Block, Stem, rows


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


def test_a_modelled_device_whose_figures_changed_says_what_to_run(elsewhere, capsys):
    """As an import leaves it that was interrupted before its fit."""
    folder = elsewhere / "latency_lut" / "iphone12"
    folder.mkdir(parents=True)
    claim_folder(product("iphone12"), folder)
    load_predictor("iphone12")  # what is shipped of it, copied

    (folder / "table.json").write_bytes((ROOT / "latency_lut/cpu-epyc/table.json").read_bytes())

    with pytest.raises(RepvitNasError, match="not fitted to the figures in.*: run repvit-nas fit"):
        load_predictor("iphone12")
    assert _run(["predict", "repvit_m0_9", "--device", "iphone12"], debug=False) == 1
    assert "run repvit-nas fit --device iphone12" in capsys.readouterr().err


@pytest.fixture
def few_units():
    """The shipped iPhone's members, of which one stem was timed, as a file of some source."""
    shipped, _ = load_predictor("iphone12")
    members = len(shipped.members)
    inputs, none = np.zeros((0, len(NAMES))), np.zeros((0, members))
    residual = Residual(PRIOR_KERNEL, inputs, none, inputs, np.zeros(0), none)
    part = MeasuredPart(PRIOR_KERNEL, 1.0, {}, "", (TimedUnit(TIMED, 1.0, 0.01),))

    def predictor(source, outside):
        model = msgspec.structs.replace(shipped.model, source=source)
        return Predictor(model, TimedCosts(part, residual, np.ones((1, members))), outside)

    return shipped, predictor


TIMED = Stem(48, 224)
OTHERS = [Stem(24, 224), Block(48, 96, 0, 3, 56)]


@pytest.mark.parametrize("outside", ["flag", "clip", "raise"])
def test_a_modelled_device_with_a_few_timed_units_prices_the_others(few_units, outside):
    """Whatever the policy, as it does without any: a stem was timed, and another is modelled."""
    shipped, predictor = few_units
    found = predictor("modelled", outside)

    costs = found.unit_costs([TIMED, *OTHERS])

    assert costs[0] == pytest.approx(1.0)
    assert costs[1:] == pytest.approx(shipped.unit_costs(OTHERS))
    assert found.source([TIMED]) == "measured"
    assert found.source([TIMED, OTHERS[0]]) == "modelled"


def test_a_measured_device_with_few_units_refuses_the_others_where_that_is_asked_for(few_units):
    _, predictor = few_units

    assert predictor("interpolated", "raise").unit_costs([TIMED]) == pytest.approx(1.0)
    with pytest.raises(
        UnknownUnitError, match="too few units were timed to say anything of others"
    ):
        predictor("interpolated", "raise").unit_costs(OTHERS)


@pytest.mark.parametrize("folder", ["predictors", "latency_lut"])
def test_files_of_another_device_are_refused(folder, elsewhere):
    names = {"predictors": "predictor.json", "latency_lut": "device.json"}
    shutil.copytree(ROOT / folder / "iphone12", elsewhere / folder / "iphone13")

    with pytest.raises(
        FileError, match=f"{names[folder]}: is of device 'iphone12', not of 'iphone"
    ):
        load_predictor("iphone13")


def test_a_cost_that_no_number_holds_is_no_latency(predictor):
    absurd = CostForm("none", 1e-6, 1e-6, 1e-6, 0.0, "whole", 1)
    member = msgspec.structs.replace(
        predictor.model.members[0],
        form=absurd,
        coefficients=(float("inf"),) * len(predictor.model.columns),
    )
    broken = Predictor(msgspec.structs.replace(predictor.model, members=(member,)))

    with pytest.raises(RepvitNasError, match="no number of milliseconds: its file is damaged"):
        broken.estimate(family()["repvit_m1_0"].architecture)
