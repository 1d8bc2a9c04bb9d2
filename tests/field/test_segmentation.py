"""Libraries that build their encoders by timm's name alone get one of our networks."""

import pytest
import timm
import torch

from repvit_nas.search_space import family
from repvit_nas.timm_entry import DEFAULT


@pytest.mark.parametrize("where", ["cpu", "meta"])
def test_the_name_alone_is_a_reference_network_of_four_maps(where):
    """https://github.com/qubvel-org/segmentation_models.pytorch/pull/433: a probe without arguments."""
    with torch.device(where):
        probe = timm.create_model("repvit_nas", features_only=True)

    stages = family()[DEFAULT].architecture.stages
    assert probe.feature_info.reduction() == [4, 8, 16, 32]
    assert probe.feature_info.channels() == [stage.width for stage in stages]


@pytest.mark.parametrize("decoder", ["Unet", "FPN"])
@pytest.mark.parametrize("named", [None, "repvit_m0_9", "results/iphone12-1.0ms:best"])
def test_a_segmentation_model_has_our_network_as_encoder(decoder, named):
    """https://github.com/qubvel-org/segmentation_models.pytorch/issues/954: options reach timm."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    more = {} if named is None else {"architecture": named}
    model = getattr(smp, decoder)("tu-repvit_nas", encoder_weights=None, classes=3, **more).eval()
    with torch.inference_mode():
        mask = model(torch.zeros(1, 3, 64, 64))

    assert mask.shape == (1, 3, 64, 64)
