"""`--init` takes what is published and what training scripts leave."""

import argparse

import pytest
import torch
from safetensors.torch import save_file
from support import official, randomize
from training_support import small

from repvit_nas import load
from repvit_nas.errors import RepvitNasError
from repvit_nas.network import create
from repvit_nas.search_space.family import family
from repvit_nas.training.data import open_data
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.start import read_weights, start_from

RECIPE = load_recipe("quick", {"batch": 16})
IMAGES = open_data(DataSpec(name="shapes", train_images=48, val_images=24), 32)


def network(classes=10, seed=0, *, distillation=False):
    torch.manual_seed(seed)
    return randomize(create(small(), num_classes=classes, distillation=distillation), seed)


def started(init, model):
    said = []
    start_from(str(init), model, IMAGES.train, RECIPE, 0, say=said.append)
    return said[0]


def same(first, second, *, but=()):
    a, b = first.state_dict(), second.state_dict()
    return all(torch.equal(a[key], b[key]) for key in a if key in b and not key.startswith(but))


WRAPPED = {
    "plain": lambda state: state,
    "model": lambda state: {"model": state, "epoch": 299, "args": argparse.Namespace(lr=0.1)},
    "state_dict": lambda state: {"state_dict": state, "arch": "repvit"},
    "wrapped": lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
    "average": lambda state: {
        "model": {key: torch.zeros_like(value) for key, value in state.items()},
        "model_ema": state,
    },
}


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("end", ["pth", "pt", "bin"])
def test_a_checkpoint_of_another_script_is_taken(tmp_path, wrap, end):
    """timm asks so: https://github.com/huggingface/pytorch-image-models/issues/948."""
    old, new = network(seed=1), network()
    torch.save(WRAPPED[wrap](old.state_dict()), tmp_path / f"w.{end}")

    assert started(tmp_path / f"w.{end}", new).endswith("all weights taken over")
    assert same(old, new)


@pytest.mark.parametrize("theirs", [7, 1000])
def test_another_number_of_classes_gets_a_new_head(tmp_path, theirs):
    """https://github.com/huggingface/pytorch-image-models/issues/2332."""
    old, new = network(theirs, seed=1), network()
    head = new.head.head.l.weight.clone()
    save_file(old.state_dict(), tmp_path / "w.safetensors")

    assert "but for the head, which is new" in started(tmp_path / "w.safetensors", new)
    assert same(old, new, but=("head.",))
    assert torch.equal(new.head.head.l.weight, head)


@pytest.mark.parametrize(("theirs", "ours"), [(True, False), (False, True), (True, True)])
def test_a_second_head_is_taken_where_both_have_one(tmp_path, theirs, ours):
    old = network(seed=1, distillation=theirs)
    new = network(distillation=ours)
    torch.save(old.state_dict(), tmp_path / "w.pth")

    said = started(tmp_path / "w.pth", new)
    assert ("but for a second head" in said) == (ours and not theirs)
    assert same(old, new)


def test_weights_without_a_head_are_taken(tmp_path):
    old, new = network(seed=1), network()
    trunk = {k: v for k, v in old.state_dict().items() if not k.startswith("head.")}
    torch.save(trunk, tmp_path / "w.pth")

    assert "but for the head" in started(tmp_path / "w.pth", new)
    assert same(old, new, but=("head.",))


@pytest.mark.parametrize("classes", [1000, 24])
def test_official_names_are_taken(tmp_path, classes):
    """As in THU-MIG/RepViT's releases: `model`, with the official code's names."""
    architecture = family()["repvit_m0_6"].architecture
    old = randomize(create(architecture))
    torch.save({"model": official(old)}, tmp_path / "repvit_m0_6.pth")
    same_network = create(architecture, num_classes=classes)

    started(tmp_path / "repvit_m0_6.pth", same_network)
    assert same(old, same_network, but=("head.",) if classes != 1000 else ())

    other = network(classes)
    assert "of the parameters start from it" in started(
        f"repvit_m0_6={tmp_path / 'repvit_m0_6.pth'}", other
    )


class Code:
    def __reduce__(self):
        return (print, ("this ran",))


def broken(state):
    key = next(iter(state))
    return {**state, key: torch.full_like(state[key], float("nan"))}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda _: {"model": Code()}, "holds no weights that can be read safely"),
        (lambda _: [1, 2], "holds no weights that can be read safely|something else than weights"),
        (lambda _: {"epoch": 3}, "something else than weights"),
        (broken, "is no finite number throughout"),
        (lambda state: dict(list(state.items())[5:]), "keys missing.*--init NAME=FILE"),
        (lambda state: state | {"neck.weight": torch.zeros(1)}, "keys too many: neck.weight"),
    ],
)
def test_what_is_no_weights_of_this_network_is_refused(tmp_path, capsys, content, message):
    torch.save(content(dict(network().state_dict())), tmp_path / "w.pth")

    with pytest.raises(RepvitNasError, match=message):
        started(tmp_path / "w.pth", network())
    assert "this ran" not in capsys.readouterr().out


def test_a_file_that_is_not_there_or_cut_off_is_named(tmp_path):
    with pytest.raises(RepvitNasError, match=r"w\.pth: cannot be read"):
        started(tmp_path / "w.pth", network())
    for end in ("pth", "safetensors"):
        (tmp_path / f"half.{end}").write_bytes(b"half")
        with pytest.raises(RepvitNasError, match=rf"half\.{end}: holds no weights"):
            read_weights(tmp_path / f"half.{end}")


def test_a_network_told_by_its_units_starts_from_the_same_units_alone(tmp_path):
    donor, same_units = randomize(load("path:4", num_classes=10)), load("path:4", num_classes=10)
    save_file(donor.state_dict(), tmp_path / "w.safetensors")

    assert started(tmp_path / "w.safetensors", same_units) == (
        f"{tmp_path / 'w.safetensors'}: all weights taken over"
    )
    assert same(donor, same_units)
    for init in ("repvit_m0_9", tmp_path / "missing.pth"):
        with pytest.raises(RepvitNasError, match="takes weights of the same units alone"):
            started(init, load("path:4", num_classes=10))


@pytest.mark.parametrize("branches", [True, False])
def test_weights_with_and_without_branches_start_one_another(tmp_path, branches):
    old = network(seed=1)
    if not branches:
        old = randomize(create(small(), num_classes=10, distillation=False, branches=False))
    new = create(small(), num_classes=10, distillation=False, branches=not branches)
    save_file(old.state_dict(), tmp_path / "w.safetensors")

    assert "all weights taken over" in started(tmp_path / "w.safetensors", new)
    image = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(new.eval()(image), old.eval()(image), rtol=1e-3, atol=1e-4)
