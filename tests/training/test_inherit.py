import itertools

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import randomize
from training_support import small

import repvit_nas
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.data import open_data
from repvit_nas.training.inherit import inherit, mapped, recalibrate
from repvit_nas.training.loading import World, val_batches
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec
from repvit_nas.training.start import start_from

IMAGE = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
RECIPE = load_recipe("quick", {"batch": 16})
IMAGES = open_data(DataSpec(name="shapes", train_images=96, val_images=24), 32)


def network(**changes):
    architecture = msgspec.structs.replace(small(**changes), num_classes=24)
    return repvit_nas.load(architecture, distillation=False)


def test_the_same_architecture_takes_over_everything():
    old, new = randomize(network()), network()
    inherited = inherit(old, new)

    assert inherited.taken == inherited.total
    with torch.no_grad():
        assert torch.equal(new(IMAGE), old(IMAGE))


def test_channels_that_do_nothing_are_the_ones_left_out():
    """A network padded with channels that nothing reads or writes, cut back, is the old one."""
    narrow = randomize(network())
    wide = network(widths=(24, 32, 48, 64))
    for parameter in wide.parameters():
        torch.nn.init.zeros_(parameter)
    for name, buffer in wide.named_buffers():
        buffer.fill_(1.0 if "var" in name else 0.0)
    state, small_state = wide.state_dict(), narrow.state_dict()
    for key, value in small_state.items():
        if value.dim():
            state[key][tuple(slice(0, size) for size in value.shape)] = value
    wide.load_state_dict(state)
    again = network()

    inherit(wide, again)

    with torch.no_grad():
        assert torch.allclose(again(IMAGE), narrow(IMAGE), atol=1e-5)


def test_the_most_important_channels_are_kept():
    old = randomize(network())
    with torch.no_grad():  # the last hidden channels of one FFN matter most
        norm = old.stages[0].blocks[0].channel_mixer.conv1.bn
        norm.weight[:] = 1e-3
        norm.weight[-16:] = 5.0
    architecture = msgspec.to_builtins(small()) | {"num_classes": 24}
    architecture["stages"] = [dict(stage) for stage in architecture["stages"]]
    architecture["stages"][0] |= {"expansion": 1.0}
    new = repvit_nas.load(msgspec.convert(architecture, type(small())), distillation=False)

    inherit(old, new)

    kept = new.stages[0].blocks[0].channel_mixer.conv1
    assert torch.equal(kept.bn.weight, torch.full((16,), 5.0))
    assert torch.equal(kept.c.weight, old.stages[0].blocks[0].channel_mixer.conv1.c.weight[-16:])


def test_blocks_are_mapped_by_relative_depth():
    deep = network(depths=(1, 1, 14, 1)).stages[2].blocks
    shallow = network(depths=(1, 1, 7, 1)).stages[2].blocks

    places = mapped(deep, shallow)
    assert mapped(deep, deep) == list(range(14))
    assert places == sorted(places)
    assert places[0] <= 2
    assert places[-1] >= 11
    for origin, block in zip(places, shallow, strict=True):  # SE goes to SE
        assert (type(deep[origin].se) is type(block.se)) or abs(origin - 6.5) > 6


def test_a_wider_network_of_larger_kernels_still_runs_what_it_took_over():
    old = randomize(network())
    architecture = msgspec.to_builtins(small(widths=(24, 24, 40, 64))) | {"num_classes": 24}
    for stage in architecture["stages"]:
        stage["kernel"] = 5
    new = repvit_nas.load(msgspec.convert(architecture, type(small())), distillation=False)
    inherited = inherit(old, new)

    assert 0 < inherited.taken < inherited.total
    grown = new.stages[1].blocks[0].token_mixer.conv.c.weight
    assert torch.equal(grown[:, :, 1:4, 1:4], old.stages[1].blocks[0].token_mixer.conv.c.weight)
    assert grown[:, :, 0].abs().max() == 0


def test_statistics_are_those_of_the_batches():
    new = randomize(network())
    recalibrate(new, IMAGES.train, RECIPE, 32, seed=0, most=3 * RECIPE.batch)

    first = new.stem.conv1.bn
    assert first.num_batches_tracked == 3
    assert first.momentum == 0.1
    assert not torch.allclose(first.running_mean, torch.zeros_like(first.running_mean), atol=1e-3)


def test_an_inherited_start_is_far_better_than_a_random_one(tmp_path, asking):
    """On the digits: a narrower and shallower network, before any training of its own."""
    deep = small("deep", widths=(24, 32, 48, 64), depths=(1, 1, 3, 1))
    train(asking(architecture=deep, epochs=2, lr=0.016), tmp_path / "old")
    digits = open_data(DataSpec(name="digits"), 32)
    architecture = msgspec.structs.replace(small(), num_classes=10)
    val = val_batches(digits.val, RECIPE, 32, world=World(), device=torch.device("cpu"), workers=0)
    right = []
    for init in ("random", str(tmp_path / "old")):
        model = repvit_nas.load(architecture, distillation=False)
        start_from(init, model, digits.train, RECIPE, 0)
        model.eval()
        with torch.no_grad():
            right.append(sum(int((model(x).argmax(1) == y).sum()) for x, y in val) / 360)

    random, inherited = right
    assert random < 0.2
    assert inherited > random + 0.1


def test_weights_come_from_a_file_of_the_same_or_of_a_named_architecture(tmp_path):
    old = randomize(network())
    save_file(old.state_dict(), tmp_path / "same.safetensors")
    new, said = network(), []
    start_from(str(tmp_path / "same.safetensors"), new, IMAGES.train, RECIPE, 0, say=said.append)
    assert torch.equal(new.stem.conv1.c.weight, old.stem.conv1.c.weight)
    assert "all weights taken over" in said[0]

    reference = repvit_nas.load("repvit_m0_6", num_classes=24, distillation=True)
    save_file(reference.state_dict(), tmp_path / "m06.safetensors")
    init = f"repvit_m0_6={tmp_path / 'm06.safetensors'}"
    start_from(init, new, IMAGES.train, RECIPE, 0, say=said.append)
    assert "of the parameters start from it" in said[1]


def test_weights_that_do_not_fit_are_refused(tmp_path):
    save_file(network(widths=(24, 24, 32, 48)).state_dict(), tmp_path / "other.safetensors")

    with pytest.raises(RepvitNasError, match="is of another architecture: .* shapes differ"):
        start_from(str(tmp_path / "other.safetensors"), network(), IMAGES.train, RECIPE, 0)
    with pytest.raises(RepvitNasError, match="is neither random, a reference name"):
        start_from("nothing", network(), IMAGES.train, RECIPE, 0)


def test_a_run_from_inherited_weights_goes_on_to_the_same_bits(tmp_path, asking):
    """Digits are not mirrored, neither to train on nor to take statistics on."""
    train(asking(epochs=1), tmp_path / "old")
    data = open_data(DataSpec(name="digits"), 32)
    asked = asking(epochs=2, init=str(tmp_path / "old"), batch=128)
    train(asked, tmp_path / "whole", opened=data)
    assert "Flip" not in str(data.train.transform)
    steps = itertools.count(1)

    def stop(*_):
        if next(steps) == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(asked, tmp_path / "part", progress=stop)
    train(asked, tmp_path / "part", resume=True)

    whole, part = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "part"))
    assert all(torch.equal(whole[key], part[key]) for key in whole)


@pytest.mark.parametrize("branches", [True, False])
def test_a_network_without_branches_inherits_from_one_with_and_back(branches):
    old = randomize(repvit_nas.load(small(), branches=branches))
    new = repvit_nas.load(small(), branches=not branches)

    inherited = inherit(old, new)

    assert inherited.taken == inherited.total
    image = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(new.eval()(image), old.eval()(image), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("branches", [True, False])
def test_a_deep_network_starts_as_the_plain_one_that_it_inherits_from(branches):
    def built(way):
        first, *others = msgspec.structs.replace(small(), num_classes=24).stages
        stages = [msgspec.structs.replace(stage, downsample=way) for stage in others]
        return repvit_nas.load(
            msgspec.structs.replace(small(), num_classes=24, stages=(first, *stages)),
            distillation=False,
            branches=branches,
        )

    plain, deep = randomize(built("plain")), built("deep")
    inherit(plain, deep)

    with torch.no_grad():
        torch.testing.assert_close(deep.eval()(IMAGE), plain.eval()(IMAGE), rtol=1e-3, atol=1e-3)
