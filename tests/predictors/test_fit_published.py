"""Latencies that no model of a device fits: one line, not whatever the fit makes of them."""

import warnings

import msgspec
import numpy as np
import pytest
from support import ROOT

from repvit_nas import files
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.published import read_observations
from repvit_nas.latency_lut.table import read_table
from repvit_nas.predictors.assumptions import Assumptions
from repvit_nas.predictors.ensemble import design, fit
from repvit_nas.predictors.fit_published import learn_published
from repvit_nas.predictors.table_observations import beside_measured, unit_observations

ASSUMPTIONS = files.read_json(ROOT / "predictors/iphone12/assumptions.json", Assumptions)


@pytest.fixture(scope="module")
def published():
    return read_observations(ROOT / "latency_lut/iphone12/published.csv")


def scaled(items, factor):
    return [msgspec.structs.replace(one, latency_ms=factor * one.latency_ms) for one in items]


@pytest.mark.parametrize("wrong", [3, 39, 79])
def test_published_rows_in_another_unit(published, wrong):
    mixed = scaled(published[:wrong], 1000.0) + published[wrong:]
    problem = design(mixed, ASSUMPTIONS)

    with pytest.raises(RepvitNasError, match=r"\d+ of 79 are more than \d+ times off.*such as"):
        fit(problem)


def test_units_in_another_unit(published):
    table = read_table(ROOT / "latency_lut/cpu-epyc/table.json")
    units = unit_observations(table, table.units[:8])
    errors = beside_measured(ASSUMPTIONS.errors, table)
    assumptions = msgspec.structs.replace(ASSUMPTIONS, errors=errors)
    problem = design(published + scaled(units, 1000.0), assumptions)

    with pytest.raises(RepvitNasError, match="no model of a device fits"):
        fit(problem)


def test_forms_that_say_nothing_of_a_latency(published, monkeypatch):
    """As the best coefficients of all forms may be: the logarithm of 0 is no number."""
    problem = design(published, ASSUMPTIONS)
    monkeypatch.setattr(
        "repvit_nas.predictors.ensemble.solve", lambda matrix, *_: np.zeros(matrix.shape[1])
    )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RepvitNasError, match="79 of 79 are more than 30 times off") as error:
            fit(problem)
    assert "\n" not in str(error.value)


def test_a_device_is_not_fitted_to_such_latencies(published):
    with pytest.raises(RepvitNasError, match="times off"):
        learn_published("x", scaled(published[:39], 1000.0) + published[39:], None, ASSUMPTIONS)
