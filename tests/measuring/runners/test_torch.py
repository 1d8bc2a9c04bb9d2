"""torch as a runner."""

import pytest
import torch

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.measuring.runners import open_runner
from repvit_nas.programs import isolated
from repvit_nas.units import Block

BLOCK = Block(16, 32, 8, 3, 14)


def test_torch_compiles_if_asked():
    """The compiler needs a C++ compiler; where there is none, torch says so."""
    runner = open_runner(RuntimeSpec("torch", target="cpu", compiled=True))

    try:
        with runner.load(isolated(BLOCK)) as calls:
            series = calls(2)
    except RuntimeError as error:
        pytest.skip(f"torch cannot compile here: {error}")

    assert min(series) > 0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RuntimeSpec("torch", target="abacus"), "'abacus' is not here; this torch offers: cpu"),
    ],
)
def test_a_torch_device_that_is_not_here_is_said(spec, words):
    with pytest.raises(RepvitNasError, match=words):
        open_runner(spec)


def test_torch_s_threads_are_as_before_once_a_program_is_timed():
    threads = torch.get_num_threads()
    runner = open_runner(RuntimeSpec("torch", threads=threads + 1, target="cpu"))

    with runner.load(isolated(BLOCK)):
        inside = torch.get_num_threads()

    assert (inside, torch.get_num_threads()) == (threads + 1, threads)
