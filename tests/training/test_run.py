import csv
import itertools
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys

import msgspec
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from training_support import small

import repvit_nas
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.named import load_architecture
from repvit_nas.training.checkpoint import Checkpoints
from repvit_nas.training.data import DataSpec
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked, TrainFile, read_training
from repvit_nas.training.run import Place, train
from repvit_nas.training.trained import load_trained
from repvit_nas.training.trainer import Trainer, load_strictly

TINY = DataSpec(name="shapes", train_images=96, val_images=24)
# Everything that has a state or draws random numbers.
EVERYTHING = {
    "epochs": 2,
    "batch": 8,
    "accumulate": 2,
    "mixup": 0.8,
    "cutmix": 1.0,
    "erasing": 0.5,
    "augment": "rand-m9-mstd0.5-inc1",
    "ema": 0.9,
    "repeats": 3,
    "step_on": "update",
    "warmup_epochs": 1,
}


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


def test_the_folder_is_loaded_by_us_and_by_timm(tmp_path, asking):
    run = tmp_path / "run"
    record = train(asking(TINY, classes=24), run)
    image = torch.randn(2, 3, 32, 32)

    ours = repvit_nas.load(run)
    theirs = timm.create_model(f"local-dir:{run}", pretrained=True).eval()

    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))
        assert ours(image).shape == (2, 24)
        maps = timm.create_model(f"local-dir:{run}", pretrained=True, features_only=True).eval()
        assert [tuple(each.shape) for each in maps(image)] == [
            (2, 16, 8, 8),
            (2, 24, 4, 4),
            (2, 32, 2, 2),
            (2, 48, 1, 1),
        ]
    other = repvit_nas.load(run, num_classes=5)
    assert other(image).shape == (2, 5)
    assert torch.equal(other.stem.conv1.c.weight, ours.stem.conv1.c.weight)
    assert load_architecture(run) == record.asked.architecture == ours.architecture
    assert ours.pretrained_cfg["input_size"] == (3, 32, 32)
    assert ours.pretrained_cfg["label_names"][7] == "half_disc"
    assert timm.data.resolve_model_data_config(theirs)["crop_pct"] == 1.0
    card = (run / "README.md").read_text()
    assert f"top-1 {record.outcome.top1:.2f} %" in card
    assert "library_name: timm" in card
    (run / "config.json").write_text("{}")
    with pytest.raises(FileError, match=r"config\.json: is not what was written"):
        repvit_nas.load(run)
    with pytest.raises(FileError, match="cannot be loaded from model.safetensors and config.json"):
        load_trained(run, verify=False)
    (run / "model.safetensors").unlink()
    with pytest.raises(RepvitNasError, match="its weights .* are not here"):
        repvit_nas.load(run)


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


def test_a_checkpoint_has_all_that_a_run_goes_on_from(tmp_path, asking):
    """The average, the optimizer, the scale and the schedule, compared after a restart."""
    asked = asking(
        TINY, classes=24, **EVERYTHING | {"epochs": 1, "warmup_epochs": 0}, precision="fp16"
    )

    class StopError(Exception):
        pass

    def stop(_, done, __):
        if done == 8:
            raise StopError

    with pytest.raises(StopError):
        train(asked, tmp_path / "run", Place(save_every=2), progress=stop)
    loaded = Checkpoints(tmp_path / "run").load()

    assert loaded.trainer["updates"] == 4
    assert loaded.trainer["batch"] == 8
    assert set(loaded.ema) == set(loaded.model)
    assert loaded.trainer["scaler"]["scale"] > 0
    assert all("exp_avg" in state for state in loaded.trainer["optimizer"]["state"].values())
    raw = tmp_path / "run" / "checkpoints" / "update-00000004" / "trainer.pt"
    assert torch.load(raw, weights_only=True)["epoch"] == 0
    train(asked, tmp_path / "run", resume=True)
    train(asked, tmp_path / "whole")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(a[key], b[key]) for key in a)


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


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in (1, 2):
        checkpoints.save(number, {"weight": torch.full((3,), float(number))}, None, {"n": number})
    assert checkpoints.load().trainer == {"n": 2}
    (tmp_path / "checkpoints" / "update-00000002" / "model.safetensors").write_bytes(b"half")
    said = []

    loaded = checkpoints.load(said.append)

    assert loaded.trainer == {"n": 1}
    assert "update-00000002" in said[0]
    assert "going on from the one before, update-00000001" in said[0]
    (tmp_path / "checkpoints" / "update-00000001" / "trainer.pt").write_bytes(b"half")
    with pytest.raises(RepvitNasError, match="update-00000001: is damaged"):
        checkpoints.load()


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


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    first = {"weight": torch.arange(10.0)}
    checkpoints.save(1, first, None, {"epoch": 0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(FileError, match="cannot be written: .*update-00000001, of update 1"):
            checkpoints.save(2, {"weight": torch.zeros(100_000)}, None, {"epoch": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    loaded = checkpoints.load()
    assert torch.equal(loaded.model["weight"], first["weight"])
    assert loaded.trainer == {"epoch": 0}
    assert [path.name for path in (tmp_path / "checkpoints").glob("update-*")] == [
        "update-00000001"
    ]


def test_the_checkpoint_before_the_last_is_kept_and_no_more(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for update in (1, 2, 3):
        checkpoints.save(update, {"w": torch.zeros(1)}, None, {})

    names = sorted(path.name for path in (tmp_path / "checkpoints").glob("update-*"))
    assert names == ["update-00000002", "update-00000003"]


def test_weights_of_another_architecture_are_named():
    model = repvit_nas.load("repvit_m0_6", num_classes=10, distillation=False)
    state = model.state_dict() | {"more": torch.zeros(1), "stem.conv1.c.weight": torch.zeros(2)}
    del state["head.head.l.bias"]

    with pytest.raises(
        RepvitNasError,
        match=r"1 keys missing: head.head.l.bias; 1 keys too many: more; "
        r"1 shapes differ: stem.conv1.c.weight \(2,\) instead of \(20, 3, 3, 3\)",
    ):
        load_strictly(model, state, "x")


def test_a_teacher_teaches_the_second_head(tmp_path, asking):
    teacher = tmp_path / "teacher"
    train(asking(TINY, classes=24), teacher)
    asked = asking(TINY, classes=24, distillation="hard", teacher=str(teacher), mixup=0.8)
    train(asked, tmp_path / "run")

    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert "head.head_dist.l.weight" in weights
    assert not torch.equal(weights["head.head_dist.l.weight"], weights["head.head.l.weight"])
    model = repvit_nas.load(tmp_path / "run")
    assert model.head.distillation
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 24)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [("nobody", "teacher 'nobody' is missing"), ("{run}", "knows 24 classes, the images have 10")],
)
def test_a_teacher_that_cannot_be_had_is_said(tmp_path, asking, teacher, message):
    train(asking(TINY, classes=24), tmp_path / "run")
    name = teacher.format(run=tmp_path / "run")

    with pytest.raises(RepvitNasError, match=message):
        train(asking(distillation="hard", teacher=name), tmp_path / "student")


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


def test_two_processes_train_one_network(tmp_path, asking):
    asked = asking(TINY, classes=24, batch=8, ema=0.9, warmup_epochs=0)
    asked = msgspec.structs.replace(asked, processes=2)
    (tmp_path / "asked.json").write_bytes(msgspec.json.encode(asked))
    script = tmp_path / "both.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport msgspec, torch\n"
        "from repvit_nas.training.records import Asked\n"
        "from repvit_nas.training.run import Place, train\n"
        "torch.set_num_threads(1)\n"
        f"asked = msgspec.json.decode(Path({str(tmp_path / 'asked.json')!r}).read_bytes(), type=Asked)\n"
        f"train(asked, Path({str(tmp_path / 'run')!r}), Place(device='cpu'))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]

    done = subprocess.run(
        [*command, "--nproc-per-node", "2", script], capture_output=True, text=True, timeout=200
    )

    assert done.returncode == 0, done.stderr[-3000:]
    record = msgspec.json.decode((tmp_path / "run" / "training.json").read_bytes(), type=TrainFile)
    assert record.outcome.updates == 6  # 96 images, 2 x 8 in an update
    assert json.loads((tmp_path / "run" / "config.json").read_text())["num_classes"] == 24
    assert record.asked.recipe.scaled_lr(2) == pytest.approx(0.008 * 16 / 512)


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
