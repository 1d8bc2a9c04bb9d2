import pytest
import timm
import torch
from support import randomize

from repvit_nas import load
from repvit_nas.errors import RepvitNasError
from repvit_nas.network.weights import from_official, is_official, unwrapped
from repvit_nas.search_space import family

# Rows of the official networks: kernel, expansion, width, SE, -, stride (THU-MIG/RepViT@298f420).
OFFICIAL_M0_6 = [
    [3, 2, 40, 1, 0, 1],
    [3, 2, 40, 0, 0, 1],
    [3, 2, 80, 0, 0, 2],
    [3, 2, 80, 1, 0, 1],
    [3, 2, 80, 0, 0, 1],
    [3, 2, 160, 0, 1, 2],
    [3, 2, 160, 1, 1, 1],
    [3, 2, 160, 0, 1, 1],
    [3, 2, 160, 1, 1, 1],
    [3, 2, 160, 0, 1, 1],
    [3, 2, 160, 1, 1, 1],
    [3, 2, 160, 0, 1, 1],
    [3, 2, 160, 1, 1, 1],
    [3, 2, 160, 0, 1, 1],
    [3, 2, 160, 0, 1, 1],
    [3, 2, 320, 0, 1, 2],
    [3, 2, 320, 1, 1, 1],
]
NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


def conv_norm(prefix):
    return [f"{prefix}.c.weight", *(f"{prefix}.bn.{name}" for name in NORM)]


def official_keys(rows):
    """List the keys of an official network in its own order, from its rows."""
    keys = conv_norm("features.0.0") + conv_norm("features.0.2")
    for index, (*_, se, _, stride) in enumerate(rows, start=1):
        mixer = f"features.{index}.token_mixer"
        if stride == 1:
            keys += conv_norm(f"{mixer}.0.conv")
            keys += [f"{mixer}.0.conv1.weight", f"{mixer}.0.conv1.bias"]
            keys += [f"{mixer}.0.bn.{name}" for name in NORM]
            if se:
                keys += [
                    f"{mixer}.1.{fc}.{part}" for fc in ("fc1", "fc2") for part in ("weight", "bias")
                ]
        else:
            keys += conv_norm(f"{mixer}.0") + conv_norm(f"{mixer}.2")
        for part in (0, 2):
            keys += conv_norm(f"features.{index}.channel_mixer.m.{part}")
    for head in ("classifier", "classifier_dist"):
        keys += [f"classifier.{head}.bn.{name}" for name in NORM]
        keys += [f"classifier.{head}.l.weight", f"classifier.{head}.l.bias"]
    return keys


def test_official_keys_load_by_place():
    """The official code and timm list the same tensors in the same order under other names."""
    from timm.models.repvit import RepVit

    theirs = randomize(RepVit(embed_dim=(40, 80, 160, 320), depth=(1, 1, 8, 1)))
    state = theirs.state_dict()
    keys = official_keys(OFFICIAL_M0_6)
    assert len(keys) == len(state)
    official = dict(zip(keys, state.values(), strict=True))

    renamed = from_official(official, family()["repvit_m0_6"].architecture)

    assert is_official(official)
    assert not is_official(state)
    assert set(renamed) == set(state)
    assert all(renamed[key] is state[key] for key in state)


def test_an_official_checkpoint_is_loaded_through_timm(tmp_path):
    """The whole way: a file with official keys inside a training checkpoint, by timm's loader."""
    model = randomize(load("repvit_m0_6"))
    official = dict(zip(official_keys(OFFICIAL_M0_6), model.state_dict().values(), strict=True))
    path = tmp_path / "official.pth"
    torch.save({"model": official, "epoch": 299}, path)

    loaded = timm.create_model(
        "repvit_nas",
        architecture="repvit_m0_6",
        pretrained=True,
        pretrained_cfg_overlay={"file": str(path)},
    ).eval()

    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert (loaded(image) - model(image)).abs().max() == 0.0


def test_timms_checkpoints_load_by_name(tmp_path):
    """As from timm's hub, but from a file: the hub cannot be reached in a test."""
    theirs = randomize(timm.create_model("repvit_m1_0")).eval()
    path = tmp_path / "timm.pth"
    torch.save(theirs.state_dict(), path)

    ours = load("repvit_m1_0", pretrained=True, pretrained_cfg_overlay={"file": str(path)})

    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert (ours(image) - theirs(image)).abs().max() == 0.0


def test_another_number_of_classes_keeps_the_trunk(tmp_path):
    theirs = randomize(timm.create_model("repvit_m0_9")).eval()
    path = tmp_path / "timm.pth"
    torch.save(theirs.state_dict(), path)

    ours = load(
        "repvit_m0_9", pretrained=True, num_classes=5, pretrained_cfg_overlay={"file": str(path)}
    )

    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert ours(image).shape == (1, 5)
        assert (ours.forward_features(image) - theirs.forward_features(image)).abs().max() == 0.0


def test_published_weights_are_looked_for_where_timm_keeps_them(monkeypatch):
    """Everything up to the download is timm's: the hub is asked for the reference's repository."""
    asked = []

    def hub(model_id, *_, **__):
        asked.append(model_id)
        raise ConnectionError("no network in a test")

    import timm.models._builder as builder

    monkeypatch.setattr(builder, "load_state_dict_from_hf", hub)
    with pytest.raises(ConnectionError):
        load("repvit_m0_9", pretrained=True)
    with pytest.raises(ConnectionError):
        load("repvit_m1", pretrained=True)

    assert asked == ["timm/repvit_m0_9.dist_300e_in1k", "timm/repvit_m1.dist_in1k"]


def test_a_network_nobody_trained_has_no_weights():
    with pytest.raises(RepvitNasError, match=r"no published weights of repvit_m0_6.*repvit_m0_9"):
        load("repvit_m0_6", pretrained=True)


@pytest.mark.parametrize("stray", ["features.99.c.weight", "features.1.more", "extra"])
def test_a_stray_key_is_treated_as_torch_treats_any(stray):
    model = randomize(load("repvit_m0_6"))
    official = dict(zip(official_keys(OFFICIAL_M0_6), model.state_dict().values(), strict=True))
    official[stray] = torch.zeros(1)
    fresh = load("repvit_m0_6")

    with pytest.raises(RuntimeError, match=f"Unexpected key.*{stray}"):
        fresh.load_state_dict(official)
    found = fresh.load_state_dict(official, strict=False)

    assert found.unexpected_keys == [stray]
    assert not found.missing_keys
    assert torch.equal(fresh.head.head.l.weight, model.head.head.l.weight)


def test_official_keys_load_into_a_network_inside_another():
    model = randomize(load("repvit_m0_6"))
    official = dict(zip(official_keys(OFFICIAL_M0_6), model.state_dict().values(), strict=True))
    outer = torch.nn.ModuleDict({"trunk": load("repvit_m0_6"), "neck": torch.nn.Linear(2, 2)})
    neck = {f"neck.{key}": value for key, value in outer["neck"].state_dict().items()}

    outer.load_state_dict({f"trunk.{key}": value for key, value in official.items()} | neck)

    assert torch.equal(outer["trunk"].stem.conv1.c.weight, model.stem.conv1.c.weight)


def test_a_state_dict_is_found_inside_a_checkpoint():
    state = {"a": torch.zeros(1)}

    assert unwrapped({"model": state, "epoch": 3}) is state
    assert unwrapped({"state_dict": state}) is state
    assert unwrapped(state) is state


def test_official_keys_load_by_any_way(tmp_path):
    ours = randomize(load("repvit_m0_6")).eval()
    official = dict(zip(official_keys(OFFICIAL_M0_6), ours.state_dict().values(), strict=True))
    path = tmp_path / "official.pth"
    torch.save(official, path)
    image = torch.randn(1, 3, 64, 64)

    directly = load("repvit_m0_6")
    directly.load_state_dict(official)
    by_timm = timm.create_model(
        "repvit_nas", architecture="repvit_m0_6", checkpoint_path=str(path)
    ).eval()

    with torch.no_grad():
        for model in (directly, by_timm):
            assert (model(image) - ours(image)).abs().max() == 0.0


def test_a_tag_of_timm_names_other_weights():
    model = timm.create_model(
        "repvit_nas", architecture="repvit_m0_9", pretrained_cfg="dist_450e_in1k"
    )

    assert model.pretrained_cfg["hf_hub_id"] == "timm/repvit_m0_9.dist_450e_in1k"


OFFICIAL_NECK = ["0.weight", "1.weight", "1.bias", "2.weight", "3.weight", "3.bias"]


def official_sam(model):
    """Return a state dict under the names of `repvit_sam.pt` (THU-MIG/RepViT@298f420 sam/)."""
    keys = [key for key in official_keys(OFFICIAL_M0_6) if not key.startswith("classifier.")]
    keys += [f"neck.{name}" for name in OFFICIAL_NECK]
    named = dict(zip(keys, model.state_dict().values(), strict=True))
    return {f"image_encoder.{key}": value for key, value in named.items()} | {
        "prompt_encoder.no_mask_embed.weight": torch.zeros(1, 256),
        "mask_decoder.iou_token.weight": torch.zeros(1, 256),
    }


def test_an_official_sam_checkpoint_is_loaded_by_its_key_names():
    published = randomize(load("repvit_m0_6", output="sam"), seed=1)
    checkpoint = official_sam(published)
    encoder = load("repvit_m0_6", output="sam")

    assert is_official(checkpoint)
    encoder.load_state_dict(checkpoint)  # strictly

    own = published.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in encoder.state_dict().items())


def test_an_encoder_within_sam_takes_its_part_of_an_official_checkpoint():
    class Sam(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.image_encoder = load("repvit_m0_6", output="sam")

    published = randomize(load("repvit_m0_6", output="sam"), seed=2)
    sam = Sam()

    told = sam.load_state_dict(official_sam(published), strict=False)

    assert not told.missing_keys
    assert {key.partition(".")[0] for key in told.unexpected_keys} == {
        "prompt_encoder", "mask_decoder",
    }  # fmt: skip
    own = published.state_dict()
    assert torch.equal(sam.image_encoder.stem.conv1.c.weight, own["stem.conv1.c.weight"])
