import csv
import itertools
import json
import multiprocessing
import os
import signal

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_support import EVERYTHING, TINY, assert_learned_alike, small, torchrun

from repvit_nas import load, load_architecture
from repvit_nas.errors import RepvitNasError
from repvit_nas.named import load_network
from repvit_nas.networks import adapted
from repvit_nas.search_space.path import path_network
from repvit_nas.training.place import Place
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked, TrainFile, read_training
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.trainer import Trainer


def log(folder):
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "images_per_s"} for row in rows]


def test_a_small_network_learns_the_digits(tmp_path, asking):
    record = train(asking(epochs=2, lr=0.016), tmp_path / "run")

    assert record.outcome.top1 > 40  # 10 is chance
    assert record.outcome.val_images == 360
    rows = log(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert float(rows[-1]["lr"]) == pytest.approx(1e-5)
    assert not (tmp_path / "run" / "checkpoints").exists()


def train_until_killed(asked, folder, step):
    """Train, and end this process at a step as the system ends one: without a word."""
    steps = itertools.count(1)

    def kill(*_):
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    train(asked, folder, Place(save_every=1), progress=kill)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    images = DataSpec(name="shapes", train_images=80, val_images=24)
    asked = Asked(
        architecture=msgspec.structs.replace(small(), num_classes=24),
        recipe=load_recipe("quick", EVERYTHING),
        data=images,
    )
    train(asked, folder, Place(save_every=1))
    return asked, folder


@pytest.mark.parametrize("step", [1, 9, 15])
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(tmp_path, undisturbed, step):
    """Killed before the first checkpoint, within the first epoch, and within the second."""
    asked, whole = undisturbed
    run = tmp_path / "run"
    # Not a fork: torch refuses to train in one if anything was trained in a thread before.
    child = multiprocessing.get_context("spawn").Process(
        target=train_until_killed, args=(asked, run, step)
    )
    child.start()
    child.join(200)
    assert child.exitcode == -signal.SIGKILL

    said = []
    train(asked, run, resume=True, say=said.append)

    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert log(run) == log(whole)
    assert any("going on after update" in line for line in said) == (step > 1)


def test_other_numbers_and_another_memory_layout_train_as_well(tmp_path, asking):
    asked = asking(TINY, classes=24, precision="bf16", ema=0.9, weights="ema")
    record = train(asked, tmp_path / "run", Place(channels_last=True, workers=1))

    row = log(tmp_path / "run")[0]
    assert record.outcome.top1 == pytest.approx(float(row["ema_top1"]))
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert weights["stem.conv1.c.weight"].dtype == torch.float32


def test_a_log_for_tensorboard_holds_what_the_other_one_holds(tmp_path, asking):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tmp_path / "run"
    train(asking(TINY, classes=24, epochs=2), run, Place(tensorboard=True))

    events = accumulator.EventAccumulator(str(run / "tensorboard")).Reload()
    values = [event.value for event in events.Scalars("top1")]
    assert values == pytest.approx([float(row["top1"]) for row in log(run)])


@pytest.mark.slow
def test_a_compiled_network_trains_to_about_the_same_weights(tmp_path, asking):
    for name, compiled in (("eager", False), ("compiled", True)):
        train(asking(TINY, classes=24, lr=1e-3), tmp_path / name, Place(compiled=compiled))
    eager, compiled = (load_file(tmp_path / n / "model.safetensors") for n in ("eager", "compiled"))

    assert eager.keys() == compiled.keys()
    assert torch.allclose(eager["stem.conv1.c.weight"], compiled["stem.conv1.c.weight"], atol=1e-4)


def test_a_second_run_neither_writes_nor_takes_the_lock_away(tmp_path, asking):
    asked = asking(TINY, classes=24)
    refused = []

    def second(*_):
        if not refused:
            for _ in range(2):
                with pytest.raises(RepvitNasError, match="process .* is writing here") as error:
                    train(asked, tmp_path / "run", resume=True)
                refused.append(error)
            assert (tmp_path / "run" / ".lock").exists()

    train(asked, tmp_path / "run", progress=second)

    assert len(refused) == 2
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_network_of_other_classes_than_the_images_is_refused(tmp_path, asking):
    with pytest.raises(RepvitNasError, match="the network has 5 classes, the images have 24"):
        train(asking(TINY, classes=5), tmp_path / "run")


def test_a_run_is_not_overwritten_and_not_mixed_with_another(tmp_path, asking):
    run = tmp_path / "run"
    asked = asking(TINY, classes=24)
    first = train(asked, run, command="repvit-nas train x")

    with pytest.raises(RepvitNasError, match="holds a training run already; go on with it with"):
        train(asked, run)
    with pytest.raises(RepvitNasError, match=r"other arguments: recipe\.lr 0\.008 -> 0\.5; give"):
        train(asking(TINY, classes=24, lr=0.5), run, resume=True)
    said = []
    assert train(asked, run, resume=True, say=said.append) == first
    assert "was finished before" in said[0]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(RepvitNasError, match=r"holds other files \(letter\.txt\)"):
        train(asked, tmp_path / "other")
    with pytest.raises(RepvitNasError, match="no training run to go on with"):
        train(asked, tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()


def test_the_best_epoch_is_kept_where_the_recipe_says_so(tmp_path, asking):
    asked = asking(TINY, classes=24, epochs=4, keep="best", batch=16, warmup_epochs=1)
    record = train(asked, tmp_path / "run")
    rows = log(tmp_path / "run")

    best = max(float(row["top1"]) for row in rows)
    assert record.outcome.top1 == pytest.approx(best)
    assert float(rows[record.outcome.epoch - 1]["top1"]) == pytest.approx(best)
    assert not list((tmp_path / "run").glob("best*"))


def test_a_run_killed_behind_its_best_epoch_goes_on_with_the_best_it_knew(
    tmp_path, asking, monkeypatch
):
    """The weights of the best epoch are written before the checkpoint that says which it is."""
    asked = asking(TINY, classes=24, epochs=3, keep="best", batch=16, warmup_epochs=1)
    whole = train(asked, tmp_path / "whole")
    run = tmp_path / "run"

    class KilledError(Exception):
        pass

    def kill(self, *_):
        if self.epoch == 3:
            raise KilledError
        save(self)

    save = Trainer.save
    monkeypatch.setattr(Trainer, "save", kill)
    with pytest.raises(KilledError):
        train(asked, run)
    monkeypatch.setattr(Trainer, "save", save)
    again = train(asked, run, resume=True)

    assert again.outcome.epoch == whole.outcome.epoch
    first, second = (load_file(each / "model.safetensors") for each in (tmp_path / "whole", run))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_two_processes_train_what_one_does_that_adds_up_two_batches(tmp_path, asking):
    """The same updates, whatever is drawn."""
    changes = {**EVERYTHING, "repeats": 1, "accumulate": 1}
    asked = msgspec.structs.replace(asking(TINY, classes=24, **changes), processes=2)

    done = torchrun(tmp_path, asked)
    alone = train(asking(TINY, classes=24, **changes | {"accumulate": 2}), tmp_path / "alone")

    assert done.returncode == 0, done.stderr[-3000:]
    record = msgspec.json.decode((tmp_path / "run" / "training.json").read_bytes(), type=TrainFile)
    assert record.outcome.updates == alone.outcome.updates == 12  # 96 images, 2 x 8 in an update
    assert json.loads((tmp_path / "run" / "config.json").read_text())["num_classes"] == 24
    assert record.asked.recipe.scaled_lr(2) == pytest.approx(0.008 * 16 / 512)
    assert_learned_alike(tmp_path / "run", tmp_path / "alone")
    first, second = log(tmp_path / "run"), log(tmp_path / "alone")
    assert float(first[0]["lr"]) == float(second[0]["lr"])

    with pytest.raises(RepvitNasError, match="other arguments: .*processes 2 -> 1"):
        train(msgspec.structs.replace(asked, processes=1), tmp_path / "run", resume="auto")


def test_only_the_epochs_asked_for_look_at_the_validation_images(tmp_path, asking):
    record = train(asking(epochs=5, validate_every=2), tmp_path / "run")

    assert [row["epoch"] for row in log(tmp_path / "run")] == ["2", "4", "5"]
    assert record.outcome.epoch == 5
    every = train(asking(epochs=5), tmp_path / "every").outcome
    assert every.weights_digest == record.outcome.weights_digest


def test_a_run_keeps_the_cross_entropy_of_each_validation_image(tmp_path, asking):
    record = train(asking(keep="best", epochs=2), tmp_path / "run")

    losses = np.load(tmp_path / "run" / "val_losses.npy", allow_pickle=False)
    assert losses.shape == (360,)
    assert losses.mean() == pytest.approx(record.outcome.loss, rel=1e-4)
    right = 100 * np.mean(losses < np.log(2))  # more than half of the probability is on the class
    assert right <= record.outcome.top1 + 1e-3


def test_a_run_that_was_killed_behind_its_last_epoch_still_keeps_them(tmp_path, asking):
    asked = asking(epochs=1)
    train(asked, tmp_path / "whole")

    def killed(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("repvit_nas.training.run._finish", killed)
        with pytest.raises(KeyboardInterrupt):
            train(asked, tmp_path / "run")
    train(asked, tmp_path / "run", resume=True)

    whole, mended = (np.load(tmp_path / name / "val_losses.npy") for name in ("whole", "run"))
    assert mended == pytest.approx(whole, abs=1e-5)


def test_a_network_told_by_its_units_trains_and_is_loaded_again(tmp_path, asking):
    asked = msgspec.structs.replace(
        asking(epochs=1, batch=16),
        architecture=adapted(path_network("2"), resolution=32, num_classes=24),
        data=TINY,
    )

    record = train(asked, tmp_path / "run")

    assert record.outcome.updates == 6
    assert read_training(tmp_path / "run") == record
    assert "A network for 24 classes" in (tmp_path / "run" / "README.md").read_text()
    model = load(tmp_path / "run")
    assert model.architecture == asked.architecture
    assert load_network(str(tmp_path / "run")) == asked.architecture
    with pytest.raises(RepvitNasError, match="has no stages, which this needs"):
        load_architecture(str(tmp_path / "run"))
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 24)
