import pytest
from training_support import train_small


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of a small network, on few images; copy it before changing it."""
    return train_small(tmp_path_factory.mktemp("trained") / "run")
