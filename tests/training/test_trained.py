"""A finished training run is read once, and its network loaded as the training left it, or not at all."""

import msgspec
import pytest
import torch
from damage import MANTISSA, flip
from safetensors.torch import load_file, save_file
from training_support import TINY, small_asked

import repvit_nas
from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.records import TRAINING_FILE, TrainFile, TrainOutcome
from repvit_nas.training.run import train
from repvit_nas.training.trained import trained_run

WEIGHTS = b"some weights"
OUTCOME = TrainOutcome(
    epoch=1,
    updates=3,
    top1=50.0,
    top5=90.0,
    loss=1.0,
    val_images=48,
    seconds=2.0,
    weights_digest=files.digest(WEIGHTS),
)


def run_in(folder, outcome=None):
    record = TrainFile(
        command="repvit-nas train x", asked=small_asked(), classes=("a", "b"), versions={},
        machine={}, outcome=outcome,
    )  # fmt: skip
    files.write_json(folder / TRAINING_FILE, record)
    return record


def test_an_unfinished_run_says_how_to_go_on_and_a_finished_one_needs_its_weights(tmp_path):
    run_in(tmp_path)
    with pytest.raises(RepvitNasError, match="go on with: repvit-nas train x --resume$"):
        trained_run(tmp_path)

    record = run_in(tmp_path, OUTCOME)
    with pytest.raises(RepvitNasError, match="its weights .* are not here; train it again"):
        trained_run(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)

    run = trained_run(tmp_path)

    assert (run.folder, run.record, run.asked, run.outcome) == (
        tmp_path,
        record,
        record.asked,
        OUTCOME,
    )
    assert run.weights.found == run.weights.written == OUTCOME.weights_digest
    # An older version wrote no digest of it.
    assert (run.config.found, run.config.written) == ("", "")


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
