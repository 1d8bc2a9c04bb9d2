import msgspec
import pytest
import torch
from training_support import small

from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked
from repvit_nas.training.spec import DataSpec


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def asking():
    """Build what a run is asked, for a network that trains in seconds."""

    def build(data="digits", classes=10, architecture=None, **changes):
        kept = {k: changes.pop(k) for k in ("seed", "init", "precision") if k in changes}
        spec = data if isinstance(data, DataSpec) else DataSpec(name=data)
        network = msgspec.structs.replace(architecture or small(), num_classes=classes)
        recipe = load_recipe("quick", {"epochs": 1, "warmup_epochs": 0} | changes)
        return Asked(architecture=network, recipe=recipe, data=spec, **kept)

    return build
