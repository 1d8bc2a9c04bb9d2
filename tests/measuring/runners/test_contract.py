"""One suite over all runners that this machine offers."""

import math

import pytest
import torch

from repvit_nas.architecture import Architecture, Stage
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.measuring.runners import RUNTIMES, open_runner
from repvit_nas.programs import chain, isolated, network, program
from repvit_nas.search_space import family
from repvit_nas.units import Block, Downsample, Ffn, Head, Stem

SPECS = [
    RuntimeSpec("onnxruntime"),
    RuntimeSpec("onnxruntime", threads=2),
    RuntimeSpec("torch", target="cpu"),
    pytest.param(
        RuntimeSpec("torch", target="cuda"),
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
        ],
    ),
    pytest.param(
        RuntimeSpec("torch", target="mps"),
        marks=[
            pytest.mark.mac,
            pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no Apple GPU"),
        ],
    ),
]
BLOCK = Block(16, 32, 8, 3, 14)


@pytest.fixture(params=SPECS, ids=lambda spec: f"{spec.name}-{spec.target}-{spec.threads}")
def runner(request):
    return open_runner(request.param)


@pytest.mark.parametrize(
    "timed",
    [
        isolated(Stem(16, 32)),
        isolated(Downsample(16, 24, 5, 14)),
        isolated(Head(16, 10, 7)),
        chain(BLOCK, 3),
        chain(Block(16, 24, 0, 7, 14), 2),
        program([Ffn(16, 32, 14), Downsample(16, 24, 3, 14), Ffn(24, 48, 7)]),
    ],
    ids=lambda p: type(p.units[0][0]).__name__,
)
def test_every_kind_of_program_is_timed(runner, timed):
    with runner.load(timed) as calls:
        series = calls(3)

    assert len(series) == 3
    assert all(math.isfinite(value) and value > 0 for value in series)


def test_a_whole_network_is_timed(runner):
    with runner.load(network(family()["repvit_m0_6"].architecture)) as calls:
        (first,) = calls(1)
        (second,) = calls(1)

    assert min(first, second) > 0.1


def test_longer_chains_take_longer(runner):
    unit = Block(64, 256, 0, 3, 28)
    best = []
    for copies in (1, 12):
        with runner.load(chain(unit, copies)) as calls:
            calls(3)
            best.append(min(calls(10)))

    assert best[1] > 2 * best[0]


def test_circumstances_name_runtime_version_and_what_latencies_depend_on(runner):
    found = runner.circumstances()

    assert found["runtime"].split()[0] in RUNTIMES
    assert any(digit.isdigit() for digit in found["runtime"])
    assert {"threads", "precision", "batch"} <= found.keys()
    assert all(isinstance(value, str) and value for value in found.values())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RuntimeSpec("tvm"), "runtime 'tvm' is not known; known: onnxruntime, torch"),
        (RuntimeSpec("onnxruntime", threads=-1), "--threads must be 0 or more.*got -1"),
        (RuntimeSpec("onnxruntime", batch=0), "--batch 1 or more; got 1 and 0"),
    ],
)
def test_what_cannot_be_run_is_said(spec, words):
    with pytest.raises(RepvitNasError, match=words):
        open_runner(spec)


def test_a_runtime_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(RepvitNasError, match=r"onnxruntime.*pip install 'repvit-nas\[onnx\]'"):
        open_runner(RuntimeSpec("onnxruntime"))


def test_an_unknown_runtime_is_an_unknown_name():
    with pytest.raises(UnknownNameError):
        open_runner(RuntimeSpec("coreml9"))


def test_every_runtime_is_held_to_the_contract():
    tried = {getattr(spec, "values", (spec,))[0].name for spec in SPECS}

    assert tried == set(RUNTIMES)


@pytest.mark.parametrize("output", ["features", "sam"])
def test_networks_that_hand_back_maps_are_timed_too(output):
    stages = tuple(Stage(width=width, depth=1, se="1") for width in (16, 24, 32, 40))
    architecture = Architecture(stages=stages, output=output, num_classes=0, resolution=64)

    for name in ("torch", "onnxruntime"):
        runner = open_runner(RuntimeSpec(name=name, threads=1))
        with runner.load(network(architecture)) as calls:
            assert all(ms > 0 for ms in calls(2))
