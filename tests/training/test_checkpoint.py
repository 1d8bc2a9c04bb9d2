"""A run goes on from its last whole checkpoint: damage is seen, and the one before takes its place."""

import json
import resource

import pytest
import torch
from damage import EXPONENT, MANTISSA, flip
from safetensors.torch import load_file
from training_support import EVERYTHING, TINY

import repvit_nas
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.training.checkpoint import Checkpoints, load_strictly
from repvit_nas.training.place import Place
from repvit_nas.training.run import train


class StopError(Exception):
    pass


def interrupted(asked, run):
    """Train up to the third checkpoint of six."""

    def stop(_, done, __):
        if done == 3:
            raise StopError

    with pytest.raises(StopError):
        train(asked, run, Place(save_every=1), progress=stop)
    return run / "checkpoints"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.mark.parametrize("bit", [MANTISSA, EXPONENT], ids=["mantissa", "exponent"])
@pytest.mark.parametrize("file", ["model.safetensors", "ema.safetensors", "trainer.pt"])
def test_a_checkpoint_with_a_flipped_bit_gives_way_to_the_one_before(
    tmp_path, asking, whole, file, bit
):
    asked = asking(TINY, classes=24, batch=16, ema=0.9)
    if not whole.exists():
        train(asked, whole)
    kept = interrupted(asked, tmp_path / "run")
    last = Checkpoints(tmp_path / "run").last()
    if file == "trainer.pt":
        content = bytearray((kept / last.name / file).read_bytes())
        content[len(content) // 2] ^= bit[1]
        (kept / last.name / file).write_bytes(bytes(content))
    else:
        flip(kept / last.name / file, *bit)
    said = []

    assert Checkpoints(tmp_path / "run").last_text().endswith(f"{last.previous}, of update 2")
    train(asked, tmp_path / "run", resume=True, say=said.append)

    assert any("is damaged" in line and last.previous in line for line in said)
    files = [run / "model.safetensors" for run in (whole, tmp_path / "run")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_written_over_a_damaged_checkpoint_keeps_the_whole_one(tmp_path):
    for number in (1, 2):
        Checkpoints(tmp_path).save(number, {"w": torch.full((3,), 1.0)}, None, {"n": number})
    flip(tmp_path / "checkpoints" / "update-00000002" / "model.safetensors", *EXPONENT)
    again = Checkpoints(tmp_path)
    assert again.load().trainer == {"n": 1}
    again.save(2, {"w": torch.full((3,), 1.0)}, None, {"n": 2})

    assert Checkpoints(tmp_path).load().trainer == {"n": 2}
    assert Checkpoints(tmp_path).last().previous == "update-00000001"


def test_no_whole_checkpoint_is_said(tmp_path):
    Checkpoints(tmp_path).save(1, {"w": torch.ones(3)}, None, {})
    flip(tmp_path / "checkpoints" / "update-00000001" / "model.safetensors", *MANTISSA)

    assert "no checkpoint" in Checkpoints(tmp_path).last_text()
    with pytest.raises(FileError, match="is damaged: its digest is"):
        Checkpoints(tmp_path).load()


@pytest.mark.parametrize(
    "name", ["../../elsewhere", "update-00000001/../x", "update-0000\0001", "/etc", ""]
)
def test_a_pointer_names_a_checkpoint_of_its_run(tmp_path, name):
    Checkpoints(tmp_path).save(1, {"w": torch.ones(3)}, None, {})
    pointer = tmp_path / "checkpoints" / "last.json"
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | {"name": name}))

    with pytest.raises(FileError, match=r"last\.json: .*(a checkpoint is called|null character)"):
        Checkpoints(tmp_path).load()


def test_a_checkpoint_of_an_older_version_has_no_digest_and_is_read(tmp_path):
    Checkpoints(tmp_path).save(1, {"w": torch.ones(3)}, None, {"n": 1})
    pointer = tmp_path / "checkpoints" / "last.json"
    old = {k: v for k, v in json.loads(pointer.read_text()).items() if "digest" not in k}
    pointer.write_text(json.dumps(old))

    assert Checkpoints(tmp_path).load().trainer == {"n": 1}


def test_the_best_weights_are_those_that_were_kept(tmp_path, asking):
    run = tmp_path / "run"
    damaged = set()

    def picture(_):
        """Called each time after the best weights were written."""
        for path in set(run.glob("best-*.safetensors")) - damaged:
            flip(path, *MANTISSA)
            damaged.add(path)
        return b"png"

    with pytest.raises(FileError, match=r"best-0000\d\.safetensors: is not what was written"):
        train(asking(TINY, classes=24, epochs=2, keep="best"), run, picture=picture)


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
