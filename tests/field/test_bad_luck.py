"""The short form of `benchmarks/bench_faults.py`: one kill, one full disk, two writers."""

import runpy

import pytest
from support import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("command", ["search", "train", "export"])
def test_a_command_survives_bad_luck(command):
    main = runpy.run_path(str(ROOT / "benchmarks" / "bench_faults.py"))["main"]

    assert main(["--times", "1", "--only", command, "--ways", "kill,full,two"]) == 0
