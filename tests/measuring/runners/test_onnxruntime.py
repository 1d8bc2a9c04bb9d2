"""ONNX Runtime as a runner."""

import pytest

from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import RuntimeSpec
from repvit_nas.measuring.runners import open_runner
from repvit_nas.programs import chain
from repvit_nas.units import Block


def test_a_batch_counts_per_image():
    unit = Block(32, 64, 0, 3, 56)
    best = {}
    for batch in (1, 4):
        with open_runner(RuntimeSpec("onnxruntime", batch=batch)).load(chain(unit, 4)) as calls:
            calls(3)
            best[batch] = min(calls(20))

    assert best[4] < 2.5 * best[1]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RuntimeSpec("onnxruntime", target="NoProvider"), "'NoProvider' is not offered.*CPUExec"),
        (RuntimeSpec("onnxruntime", compiled=True), "--compile is for --runtime torch"),
    ],
)
def test_what_onnxruntime_does_not_offer_is_said(spec, words):
    with pytest.raises(RepvitNasError, match=words):
        open_runner(spec)
