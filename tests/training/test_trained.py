"""A run's network is loaded with the weights that the training left, or not at all."""

import msgspec
import pytest
import torch
from damage import MANTISSA, flip
from safetensors.torch import load_file, save_file
from training_support import TINY

import repvit_nas
from repvit_nas.errors import FileError
from repvit_nas.training.run import train


def test_a_run_with_other_weights_is_not_loaded(tmp_path, asking):
    run = tmp_path / "run"
    record = train(asking(TINY, classes=24), run)
    weights = run / "model.safetensors"
    good = weights.read_bytes()
    flip(weights, *MANTISSA)
    with pytest.raises(FileError, match=r"model\.safetensors: is not what was written"):
        repvit_nas.load(run)
    nan = {
        k: torch.full_like(v, float("nan")) if v.is_floating_point() else v
        for k, v in load_file(weights).items()
    }
    save_file(nan, weights, metadata={"format": "pt"})
    for use in (
        lambda: repvit_nas.load(run),
        lambda: train(asking(TINY, classes=24, init=str(run)), tmp_path / "next"),
    ):
        with pytest.raises(FileError, match=record.outcome.weights_digest):
            use()
    weights.write_bytes(good)
    repvit_nas.load(run)
    # A run that an older version wrote says nothing of its digests.
    old = msgspec.json.decode((run / "training.json").read_bytes())
    del old["outcome"]["weights_digest"]
    (run / "training.json").write_bytes(msgspec.json.encode(old))
    repvit_nas.load(run)
