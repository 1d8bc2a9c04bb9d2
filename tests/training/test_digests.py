"""What was written with a digest is read with it."""

import json
import struct

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

import repvit_nas
from repvit_nas.errors import FileError
from repvit_nas.training.checkpoint import Checkpoints
from repvit_nas.training.data import DataSpec
from repvit_nas.training.run import Place, train

TINY = DataSpec(name="shapes", train_images=96, val_images=24)
# Of a little-endian float32: its lowest bit of value, and a high one of its size.
MANTISSA, EXPONENT = (0, 1), (3, 0x40)


class StopError(Exception):
    pass


def flip(path, place, bit):
    """Turn a bit over in the middle of a safetensors file's numbers."""
    content = bytearray(path.read_bytes())
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    middle = begin + (len(content) - begin) // 8 * 4
    content[middle + place] ^= bit
    path.write_bytes(bytes(content))


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


@pytest.mark.parametrize("name", ["../../elsewhere", "update-0000\0001", "/etc", ""])
def test_a_pointer_names_a_checkpoint_of_its_run(tmp_path, name):
    Checkpoints(tmp_path).save(1, {"w": torch.ones(3)}, None, {})
    pointer = tmp_path / "checkpoints" / "last.json"
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | {"name": name}))

    with pytest.raises(FileError, match=r"last\.json: .*a checkpoint is called"):
        Checkpoints(tmp_path).load()


def test_a_checkpoint_of_an_older_version_has_no_digest_and_is_read(tmp_path):
    Checkpoints(tmp_path).save(1, {"w": torch.ones(3)}, None, {"n": 1})
    pointer = tmp_path / "checkpoints" / "last.json"
    old = {k: v for k, v in json.loads(pointer.read_text()).items() if "digest" not in k}
    pointer.write_text(json.dumps(old))

    assert Checkpoints(tmp_path).load().trainer == {"n": 1}


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
