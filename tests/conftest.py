import os

# One thread each: the tests run side by side. Set before numpy and torch are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repository",
    deadline=None,  # machines are shared and noisy
    derandomize=True,  # a failure is found again
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repository")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working directory without data folders: the shipped copies are used."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
