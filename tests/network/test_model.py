import json
import warnings

import msgspec
import pytest
import timm
import torch
from hypothesis import given, settings
from support import architectures, randomize
from timm.models.repvit import RepVit

import repvit_nas
from repvit_nas import RepVitNas, load, reparameterize
from repvit_nas.architecture import Architecture, Stage, with_output, write_architecture
from repvit_nas.errors import RepvitNasError
from repvit_nas.named import shaped
from repvit_nas.operations import Pool
from repvit_nas.search_space import family
from repvit_nas.units import Features, Foreign, rows

# Parameters in training form with the second head, computed from the official code.
TRAINING_PARAMS = {
    "repvit_m0_6": 2808932,
    "repvit_m0_9": 5489328,
    "repvit_m1_0": 7302796,
    "repvit_m1_1": 8802912,
    "repvit_m1_5": 14644432,
    "repvit_m2_3": 23688792,
    "repvit_m1": 5485248,
    "repvit_m2": 8797984,
    "repvit_m3": 10682832,
}
SMALL = Architecture(
    name="small",
    resolution=64,
    num_classes=7,
    stages=(
        Stage(width=8, depth=2, se="01", expansion=1.5, kernel=5),
        Stage(width=16, depth=1, se="1", expansion=2.5, kernel=3),
        Stage(width=24, depth=3, se="110", expansion=2.0, kernel=7),
        Stage(width=32, depth=1, se="0", expansion=4.0, kernel=3),
    ),
)


def in_timm(name):
    if name == "repvit_m0_6":  # not registered in timm, but timm can express it
        return RepVit(embed_dim=(40, 80, 160, 320), depth=(1, 1, 8, 1))
    return timm.create_model(name)


@pytest.mark.parametrize("name", TRAINING_PARAMS)
def test_reference_networks_are_timms_to_the_last_bit(name):
    theirs = randomize(in_timm(name)).eval()
    ours = load(name)

    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (ours(image) - theirs(image)).abs().max() == 0.0
    assert sum(p.numel() for p in ours.parameters()) == TRAINING_PARAMS[name]


def test_training_forms_give_equal_gradients():
    theirs = randomize(timm.create_model("repvit_m0_9")).train()
    ours = load("repvit_m0_9").train()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    for model in (ours, theirs):
        model(image).square().mean().backward()

    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None, name
        assert (mine.grad - other.grad).abs().max() == 0.0, name


@given(architectures(classes=(1, 20)))
@settings(max_examples=20)
def test_any_architecture_gives_a_network_of_its_shape(architecture):
    model = RepVitNas(architecture).eval()
    side = architecture.resolution

    with torch.no_grad():
        scores = model(torch.zeros(2, 3, side, side))
        maps = model.forward_intermediates(torch.zeros(1, 3, side, side), intermediates_only=True)

    assert scores.shape == (2, architecture.num_classes)
    sizes = [m.shape[-1] for m in maps]
    blocks = [u for u in rows(architecture) if type(u).__name__ == "Block"]
    assert {u.size for u in blocks} <= set(sizes)
    for stage, block_list in zip(architecture.stages, model.stages, strict=True):
        gates = [type(block.se).__name__ != "Identity" for block in block_list.blocks]
        assert gates == [digit == "1" for digit in stage.se]
        assert all(
            block.token_mixer.conv.c.kernel_size == (stage.kernel, stage.kernel)
            for block in block_list.blocks
        )


@pytest.mark.parametrize("name", ["repvit_m0_9", "repvit_m1"])
def test_features_are_timms(name):
    theirs = timm.create_model(name, features_only=True)
    ours = timm.create_model("repvit_nas", architecture=name, features_only=True)
    randomize(theirs).eval()
    ours.eval().load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))

    with torch.no_grad():
        for mine, other in zip(ours(image), theirs(image), strict=True):
            assert (mine - other).abs().max() == 0.0
    assert ours.feature_info.channels() == theirs.feature_info.channels()
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()


def test_some_features_can_be_asked_for():
    model = timm.create_model(
        "repvit_nas", architecture=SMALL, features_only=True, out_indices=(1, 3)
    )

    assert [m.shape[1] for m in model(torch.zeros(1, 3, 64, 64))] == [16, 32]


def test_the_classifier_can_be_replaced():
    model = timm.create_model("repvit_nas", architecture=SMALL, num_classes=10)
    image = torch.zeros(2, 3, 64, 64)

    assert model(image).shape == (2, 10)
    model.reset_classifier(3, distillation=True)
    assert model.eval()(image).shape == (2, 3)
    assert load(SMALL)(image).shape == (2, 7)
    assert load(SMALL, num_classes=0)(image).shape == (2, 32)


def test_two_heads_answer_apart_only_when_they_learn_from_a_teacher():
    model = load(SMALL).train()
    image = torch.randn(2, 3, 64, 64)
    assert model(image).shape == (2, 7)

    model.set_distilled_training(True)

    first, second = model(image)
    assert first.shape == second.shape == (2, 7)


def test_a_network_can_be_named_in_every_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_architecture(tmp_path / "a.json", SMALL)
    write_architecture(tmp_path / "results" / "run" / "winners" / "best.json", SMALL)
    document = json.loads((tmp_path / "a.json").read_text())

    for named in (SMALL, "a.json", tmp_path / "a.json", "results/run:best", document):
        model = timm.create_model("repvit_nas", architecture=named)
        assert model.architecture == SMALL

    with pytest.raises(RepvitNasError, match="is no network"):
        repvit_nas.load("nothing")


def test_gradients_can_be_checkpointed():
    model = load(SMALL).train()
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = model(image).square().mean()
    model.set_grad_checkpointing(True)

    saved = model(image).square().mean()
    saved.backward()

    assert saved.item() == pytest.approx(plain.item(), rel=1e-5)
    assert all(p.grad is not None for p in model.stages.parameters())


def test_a_unit_of_another_family_is_no_part_of_a_network(monkeypatch):
    from repvit_nas.network import model

    monkeypatch.setattr(model, "rows", lambda a: (*rows(a), Foreign(Pool(1, 1))))

    with pytest.raises(TypeError, match="Foreign is no unit"):
        RepVitNas(SMALL)


def test_only_known_poolings_are_taken():
    with pytest.raises(ValueError, match="global_pool"):
        RepVitNas(SMALL, global_pool="max")


def test_legacy_networks_are_recognised_by_name_and_fuse_to_the_same_count():
    for old, new in (("repvit_m1", "repvit_m0_9"), ("repvit_m2", "repvit_m1_1")):
        fused = [sum(p.numel() for p in reparameterize(load(n)).parameters()) for n in (old, new)]
        assert fused[0] == fused[1]
        same = msgspec.structs.replace(family()[old].architecture, name="")
        assert same == msgspec.structs.replace(family()[new].architecture, name="")


def test_a_network_can_be_scripted():
    model = load(Architecture(stages=(Stage(width=8, depth=1, se="1"),) * 4, num_classes=3))
    image = torch.randn(1, 3, 32, 32)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of scripting
        scripted = torch.jit.script(model)

    with torch.no_grad():
        assert torch.equal(scripted(image), model(image))


def test_an_architecture_without_classes_hands_back_the_maps_that_it_is_priced_as():
    backbone = msgspec.structs.replace(SMALL, num_classes=0, resolution=65)
    model = load(backbone)
    image = torch.randn(2, 3, 65, 65)
    priced = [(unit.width, unit.size) for unit in rows(backbone) if isinstance(unit, Features)]

    with torch.no_grad():
        maps = model(image)
        assert [tuple(each.shape) for each in maps] == [(2, w, s, s) for w, s in priced]
        fused = reparameterize(model)(image)
        listed = load(backbone, features_only=True)
        listed.load_state_dict(
            {key.replace("stages.", "stages_"): v for key, v in model.state_dict().items()}
        )
        for one, two, three in zip(maps, fused, listed(image), strict=True):
            assert torch.allclose(one, two, atol=1e-5)
            assert torch.equal(one, three)
        assert load(backbone, num_classes=5)(image).shape == (2, 5)
        model.reset_classifier(3)
        assert model.eval()(image).shape == (2, 3)


def test_timm_is_told_the_input_that_a_network_was_searched_for():
    at_256 = msgspec.structs.replace(SMALL, resolution=256)
    reference = msgspec.structs.replace(family()["repvit_m0_9"].architecture, resolution=512)

    for architecture, side in ((at_256, 256), (reference, 512)):
        told = repvit_nas.load(architecture).pretrained_cfg

        assert told["input_size"] == (3, side, side)
        assert told["pool_size"] == (side // 32, side // 32)
        assert timm.data.resolve_data_config({}, pretrained_cfg=told)["input_size"][1] == side
    assert repvit_nas.load("repvit_m0_9").pretrained_cfg["input_size"] == (3, 224, 224)
    assert repvit_nas.load(SMALL).pretrained_cfg["num_classes"] == SMALL.num_classes


@pytest.mark.parametrize("named", ["results/run:best", SMALL, "repvit_m1"])
def test_what_timm_saves_is_loaded_where_no_run_is(tmp_path, monkeypatch, named):
    at_256 = msgspec.structs.replace(SMALL, resolution=256)
    monkeypatch.chdir(tmp_path)
    write_architecture(tmp_path / "results" / "run" / "winners" / "best.json", at_256)
    model = timm.create_model("repvit_nas", architecture=named)
    timm.models.save_for_hf(model, "saved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    again = timm.create_model(f"local-dir:{tmp_path / 'saved'}", pretrained=True)

    assert isinstance(again, RepVitNas)
    assert (again.architecture, again.legacy) == (model.architecture, model.legacy)
    assert again.pretrained_cfg["input_size"] == model.pretrained_cfg["input_size"]
    state = again.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert "results" not in (tmp_path / "saved" / "config.json").read_text()


def encoder(output, **changes):
    return with_output(msgspec.structs.replace(SMALL, **changes), output, resolution=64)


@pytest.mark.parametrize("output", ["sam", "sam-fused"])
def test_an_encoder_hands_back_one_map_of_a_sixteenth_fused_or_not(output):
    model = randomize(load(encoder(output)))
    image = torch.randn(2, 3, 64, 64)

    with torch.no_grad():
        embedding = model(image)
        assert embedding.shape == (2, 256, 4, 4)
        assert model.img_size == 64
        fused = reparameterize(model)
        assert torch.allclose(fused(image), embedding, atol=1e-4)
        assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in fused.modules())
        assert load(encoder(output), num_classes=5)(image).shape == (2, 5)


def test_the_encoder_of_repvit_sam_is_as_large_as_published():
    """THU-MIG/RepViT@298f420 sam/: 23,158,920 parameters in training, 256x64x64 out at 1024 px."""
    with torch.device("meta"):
        model = repvit_nas.load("repvit_m2_3", output="sam")
        embedding = model(torch.zeros(1, 3, 1024, 1024))

    assert sum(each.numel() for each in model.parameters()) == 23_158_920
    assert embedding.shape == (1, 256, 64, 64)
    assert model.img_size == 1024


def test_any_network_can_be_asked_for_another_output():
    image = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        assert [len(each[0]) for each in repvit_nas.load(SMALL, output="features")(image)] == [
            stage.width for stage in SMALL.stages
        ]
    with pytest.raises(RepvitNasError, match="multiple of 16 where output is sam; got 1000"):
        shaped(SMALL, "sam", 1000)
