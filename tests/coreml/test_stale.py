"""What is in a device's folder and what its predictor was fitted to, where the two differ."""

import msgspec
import numpy as np
import pytest
from support import ROOT

from repvit_nas.commands import _run
from repvit_nas.coreml.products import product
from repvit_nas.coreml.publishing import claim_folder
from repvit_nas.errors import RepvitNasError, UnknownUnitError
from repvit_nas.predictors.features import NAMES
from repvit_nas.predictors.lookup import MeasuredPart, TimedCosts, TimedUnit
from repvit_nas.predictors.predictor import Predictor, load_predictor
from repvit_nas.predictors.residual import PRIOR_KERNEL, Residual
from repvit_nas.units import Block, Stem


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
