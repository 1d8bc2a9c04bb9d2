"""The short form of `benchmarks/bench_faults.py`: bad luck of each kind, once."""

import subprocess
import sys

import pytest
from support import ROOT


@pytest.mark.parametrize(
    "names",
    [
        "search,run and front",
        pytest.param("train", marks=pytest.mark.slow),
        pytest.param("export", marks=pytest.mark.slow),
    ],
)
def test_a_command_survives_bad_luck(names):
    script = ROOT / "benchmarks" / "bench_faults.py"
    done = subprocess.run(
        [sys.executable, script, "--times", "1", "--only", names], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("kill", "limit", "two"):
        assert f" {word} " in done.stdout
