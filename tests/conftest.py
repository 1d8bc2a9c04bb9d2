import json
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


@pytest.fixture
def measured_phone(elsewhere):
    """A phone that counts as measured."""
    from repvit_nas import data
    from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION

    home = elsewhere / "latency_lut" / "iphone12"
    home.mkdir(parents=True)
    shipped = data.shipped_root() / "latency_lut/iphone12/device.json"
    runtime = {"name": "coreml", "target": "iphone12"}
    changed = {"kind": "measured", "protocol": PROTOCOL_VERSION, "runtime": runtime}
    (home / "device.json").write_text(json.dumps(json.loads(shipped.read_text()) | changed))


@pytest.fixture
def invoke(elsewhere, capfd):
    """Run the command line in a folder without data; return exit code, stdout and stderr."""

    from repvit_nas.commands import main

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return end.value.code, out, err

    return run
