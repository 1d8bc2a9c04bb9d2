"""A trained network as a folder that timm loads."""

import pytest
import timm
import torch
from training_support import TINY

import repvit_nas
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.named import load_architecture
from repvit_nas.training.run import train
from repvit_nas.training.trained import load_trained, trained_run


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
        load_trained(trained_run(run), verify=False)
    (run / "model.safetensors").unlink()
    with pytest.raises(RepvitNasError, match="its weights .* are not here"):
        repvit_nas.load(run)
