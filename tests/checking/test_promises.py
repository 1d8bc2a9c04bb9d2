"""What was promised of a trained network, each promise broken."""

import msgspec
import pytest
from safetensors.torch import load_file, save_file

from repvit_nas.checking.check import check_run
from repvit_nas.training.records import read_training


def broken(found):
    return [promise.name for promise in found.promises if promise.kept is False]


def test_every_promise_can_be_broken(run):
    check_run(run)
    weights = load_file(run / "model.safetensors")
    weights["head.head.l.weight"] = -weights["head.head.l.weight"]
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    (run / "fused.safetensors").write_bytes(b"other")
    record = read_training(run)
    outcome = msgspec.structs.replace(record.outcome, top1=99.0)
    (run / "training.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(record, outcome=outcome))
    )

    found = check_run(run)

    assert broken(found) == [
        *("search space", "model.safetensors", "exported weights", "form fused", "accuracy"),
    ]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_change_is_seen_without_an_export_before(run, name):
    content = (run / name).read_bytes()
    changed = content.replace(b"0.485", b"0.100") if name == "config.json" else content
    spoilt = bytearray(changed)
    if name == "model.safetensors":
        spoilt[-1] ^= 1  # the last bit of a weight
    (run / name).write_bytes(spoilt)

    assert name in broken(check_run(run))


def test_a_file_that_was_exported_from_other_weights_is_a_broken_promise(run):
    (run / "model.onnx").write_bytes(b"from another training")

    found = check_run(run)

    assert broken(found) == ["search space", "exported file"]
