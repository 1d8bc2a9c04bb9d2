import msgspec
import pytest
import torch
from training_support import small

from repvit_nas.training.data import DataSpec
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked
from repvit_nas.training.run import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of a small network, on few images; copy it before changing it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained") / "run"
    asked = Asked(
        architecture=msgspec.structs.replace(small(), num_classes=24),
        recipe=load_recipe("quick", {"epochs": 1, "lr": 0.02, "warmup_epochs": 0}),
        data=DataSpec(name="shapes", train_images=96, val_images=48),
    )
    train(asked, folder)
    return folder
