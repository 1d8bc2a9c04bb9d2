"""A training by several processes that this one starts."""

import os
import signal

import msgspec
import numpy as np
import pytest
from torch.utils.data import IterableDataset
from training_support import TINY, assert_learned_alike

from repvit_nas.errors import RepvitNasError
from repvit_nas.training.kept import kept
from repvit_nas.training.place import Place
from repvit_nas.training.records import read_training
from repvit_nas.training.run import open_asked, train
from repvit_nas.training.torchrun import (
    going_on,
    refuse_processes,
    refuse_streams,
    shared_out,
    train_by,
)

PLACE = Place("cpu", save_every=1)


class Streamed(IterableDataset):
    def __iter__(self):
        return iter(())


class LostError(Exception):
    """The task is another worker's now."""


def test_several_take_as_many_images_and_the_same_rate_in_an_update(asking):
    asked = asking(TINY, classes=24, accumulate=6)

    shared = shared_out(asked, 3)

    assert (shared.recipe.batch, shared.recipe.accumulate) == (asked.recipe.batch, 2)
    assert shared.recipe.total_batch(shared.processes) == asked.recipe.total_batch(1)
    assert shared.recipe.scaled_lr(shared.processes) == asked.recipe.scaled_lr(1)
    assert shared.by_one == asked
    assert shared_out(asked, 1) is asked


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accumulate": 3}, r"adds up accumulate = 3 of batch = 64 .*--set accumulate=2$"),
        ({"accumulate": 1}, r"2 processes cannot share alike"),
        ({"accumulate": 2, "repeats": 3}, "repeats each image 3 times"),
    ],
)
def test_what_several_would_learn_otherwise_is_refused(asking, changes, said):
    asked = asking(TINY, classes=24, batch=64, **changes)

    with pytest.raises(RepvitNasError, match=said):
        shared_out(asked, 2)


def test_processes_are_not_started_by_one_of_several_or_on_one_of_apples_devices(monkeypatch):
    refuse_processes(2, "cpu")
    with pytest.raises(RepvitNasError, match="train on cuda or cpu, not on mps"):
        refuse_processes(2, "mps")
    with pytest.raises(RepvitNasError, match=r"--nproc 99: each process needs a GPU"):
        refuse_processes(99, "cuda")

    monkeypatch.setenv("WORLD_SIZE", "2")
    refuse_processes(1, "cpu")
    with pytest.raises(RepvitNasError, match="leave torchrun out"):
        refuse_processes(2, "cpu")


def test_images_in_an_order_of_their_own_are_left_to_one_process(tmp_path, asking):
    asked = asking(TINY, classes=24, accumulate=2)
    streamed = kept(open_asked(asked)._replace(train=Streamed()))  # as campaigns have them

    refuse_streams(streamed, 1)
    with pytest.raises(RepvitNasError, match="--nproc 2: these images are only read in their own"):
        train_by(shared_out(asked, 2), tmp_path / "run", PLACE, opened=streamed)
    assert not (tmp_path / "run" / "training.json").exists()


@pytest.mark.slow
def test_a_run_goes_on_after_its_worker_and_one_of_its_processes_are_gone(tmp_path, asking):
    """To the weights of one process, with as many as it began with; odd images come once."""
    images = msgspec.structs.replace(TINY, val_images=25)
    asked = asking(images, classes=24, batch=8, accumulate=2, epochs=2)
    run, said = tmp_path / "run", []
    alone = train(asked, tmp_path / "alone")

    def lost(doing, done, _):
        if doing == "epoch 1/2" and done == 3:
            raise LostError

    with pytest.raises(LostError):
        train_by(shared_out(asked, 2), run, PLACE, progress=lost)
    assert going_on(asked, run).processes == 2

    def killed(doing, done, _):
        if doing == "epoch 2/2" and done == 2:
            first = int((run / ".holder").read_text().split()[1])
            os.kill(first, signal.SIGKILL)

    with pytest.raises(
        RepvitNasError, match="was lost: .*SIGKILL|process of this training is gone"
    ):
        train_by(going_on(asked, run), run, PLACE, resume=True, progress=killed)
    record = train_by(going_on(asked, run), run, PLACE, resume=True, say=said.append)

    assert any(line.startswith("going on after update") for line in said)
    assert record == read_training(run)
    assert record.asked.processes == 2
    assert record.outcome.updates == alone.outcome.updates == 12
    assert_learned_alike(run, tmp_path / "alone")
    losses = np.load(run / "val_losses.npy")
    assert losses.shape == (25,)
    assert losses.mean() == pytest.approx(record.outcome.loss, rel=1e-4)
