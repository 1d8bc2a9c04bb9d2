"""The shipped phone, fitted again."""

import pytest

from repvit_nas.latency_lut.device import load_device
from repvit_nas.predictors.fit_device import fit_device


@pytest.fixture(scope="session")
def fitted():
    return fit_device(load_device("iphone12"))
