"""The shipped phone, fitted again, and a simulated device that was measured."""

import pytest
from simulated import simulated_table

from repvit_nas.latency_lut.device import load_device
from repvit_nas.predictors.fit_device import fit_device
from repvit_nas.predictors.fit_measured import assumptions_for, learn
from repvit_nas.search_space import load_space


@pytest.fixture(scope="session")
def fitted():
    return fit_device(load_device("iphone12"))


@pytest.fixture(scope="session")
def table():
    return simulated_table(load_space("repvit")[0], units=80)


@pytest.fixture(scope="session")
def learning(table):
    return learn(table, assumptions_for(table))
