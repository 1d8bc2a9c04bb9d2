"""What is in a device's folder and what its predictor was fitted to, where the two differ."""

import numpy as np
import pytest
from support import ROOT

from repvit_nas.commands import _run
from repvit_nas.errors import RepvitNasError
from repvit_nas.phone.measuring import claim_folder
from repvit_nas.phone.products import product
from repvit_nas.predictors.features import NAMES
from repvit_nas.predictors.measured import Learned, MeasuredPart, TimedUnit
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.predictors.residual import Kernel, Residual
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


@pytest.mark.parametrize("outside", ["flag", "clip", "raise"])
def test_where_nothing_is_interpolated_any_policy_prices_the_other_units(outside):
    """A few timed units of a modelled device: a stem was timed, and another stem is modelled."""
    timed, other = Stem(48, 224), Block(48, 96, 0, 3, 56)
    kernel = Kernel(NAMES, 0.1, (1.0,) * len(NAMES), 0.01)
    part = MeasuredPart(kernel, 1.0, {}, "", (TimedUnit(timed, 1.0, 0.01),))
    inputs, none = np.zeros((0, len(NAMES))), np.zeros((0, 2))
    residual = Residual(kernel, inputs, none, inputs, np.zeros(0), none)
    learned = Learned(part, residual, np.ones((1, 2)))

    costs = learned.refine([timed, Stem(24, 224), other], np.full((3, 2), 2.0), outside)

    assert costs[0] == pytest.approx([1.0, 1.0])
    assert costs[1:] == pytest.approx(np.full((2, 2), 2.0))
    assert learned.source(Stem(24, 224)) == "modelled"
