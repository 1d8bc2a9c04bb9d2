import shutil

import pytest
from training_support import train_small

from repvit_nas.checking.records import ComparedNetwork


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of a small network, on few images; copy it before changing it."""
    return train_small(tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def run(trained, tmp_path):
    """A copy of that run, to be changed."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def row():
    """Build a network that was compared, by its latency and accuracy."""

    def build(latency, top1=None):
        return ComparedNetwork(
            name="x",
            params=1,
            macs=1,
            latency_ms=latency,
            low_ms=latency,
            high_ms=latency,
            source="modelled",
            top1=top1,
        )

    return build
