"""What the loop over batches refuses, and which weights it takes."""

import pytest
from training_support import TINY

import repvit_nas
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.checkpoint import Checkpoints
from repvit_nas.training.place import Place
from repvit_nas.training.records import read_training
from repvit_nas.training.run import train
from repvit_nas.training.trainer import Trainer


def test_a_loss_that_is_no_number_stops_with_step_and_checkpoint(tmp_path, asking):
    asked = asking(TINY, classes=24, epochs=6, lr=9999.0, lr_batch=1, clip_mode="none", batch=16)

    with pytest.raises(
        RepvitNasError, match=r"no finite number any more at step \d+ \(epoch \d\): .*checkpoint"
    ):
        train(asked, tmp_path / "run")

    assert read_training(tmp_path / "run").outcome is None
    with pytest.raises(RepvitNasError, match="the training is not finished; go on with"):
        repvit_nas.load(tmp_path / "run")


@pytest.mark.parametrize(("update", "every", "kept"), [(3, 1, 2), (6, 0, 0)])
def test_weights_that_an_update_spoilt_are_not_saved(
    tmp_path, asking, monkeypatch, update, every, kept
):
    """The loss of an update is seen before it: nobody has seen what the last one did."""
    step = Trainer._step

    def spoiling(self, *batch):
        if self.updates == update - 1:
            monkeypatch.setattr(self.optimizer, "step", lambda: self.parameters[0].data.fill_(nan))
        step(self, *batch)

    nan = float("nan")
    monkeypatch.setattr(Trainer, "_step", spoiling)
    run = tmp_path / "run"

    with pytest.raises(
        RepvitNasError, match=rf"weights are no finite numbers any more after step {update} "
    ):
        train(asking(TINY, classes=24, batch=16), run, Place(save_every=every))

    assert not (run / "model.safetensors").exists()
    last = Checkpoints(run).load()
    assert (last.trainer["updates"] if last else 0) == kept
    assert all(value.isfinite().all() for value in (last.model.values() if last else ()))
