"""Segment Anything with our encoder: SAM's own decoder makes masks of its map."""

import sys

import numpy as np
import pytest
import torch
from support import randomize
from training_support import small

import repvit_nas
from repvit_nas.architecture import with_output
from repvit_nas.errors import FileError, RepvitNasError

ENCODER = with_output(small(), "sam", resolution=64)


def official(model):
    """Return a state under the names of `repvit_sam.pt`, of blocks in one row, for one stage order."""
    from support import official as named

    encoder = model.image_encoder
    state = named(encoder) | {
        key: value for key, value in encoder.state_dict().items() if key.startswith("neck.")
    }
    rest = {
        key: value
        for key, value in model.state_dict().items()
        if not key.startswith("image_encoder.")
    }
    return {f"image_encoder.{key}": value for key, value in state.items()} | rest


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "segment_anything", None)

    with pytest.raises(RepvitNasError, match=r"pip install 'repvit-nas\[sam\]'"):
        repvit_nas.sam(ENCODER)


@pytest.mark.parametrize("output", ["sam", "sam-fused"])
def test_a_point_makes_masks_of_the_pictures_size(output):
    segment_anything = pytest.importorskip("segment_anything")
    torch.manual_seed(0)
    model = repvit_nas.sam(with_output(small(), output, resolution=64))
    predictor = segment_anything.SamPredictor(model)

    predictor.set_image(np.zeros((30, 50, 3), np.uint8))
    masks, scores, _ = predictor.predict(np.array([[20, 10]]), np.array([1]))

    assert isinstance(model, segment_anything.modeling.Sam)
    assert masks.shape == (3, 30, 50)
    assert scores.shape == (3,)


def test_a_checkpoint_of_repvit_sam_gives_encoder_and_decoder(tmp_path):
    pytest.importorskip("segment_anything")
    published = repvit_nas.sam(ENCODER)
    randomize(published.image_encoder)
    torch.save(official(published), tmp_path / "repvit_sam.pt")

    model = repvit_nas.sam(ENCODER, tmp_path / "repvit_sam.pt")

    own = published.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in model.state_dict().items())


def test_checkpoints_without_what_is_missing_are_refused(tmp_path):
    pytest.importorskip("segment_anything")
    model = repvit_nas.sam(ENCODER)
    decoder = {k: v for k, v in model.state_dict().items() if not k.startswith("image_encoder.")}
    torch.save(decoder, tmp_path / "decoder.pt")
    torch.save({"image_encoder.x": torch.zeros(1)}, tmp_path / "encoder.pt")

    with pytest.raises(
        RepvitNasError, match="holds no RepViT encoder, and the network is untrained"
    ):
        repvit_nas.sam(ENCODER, tmp_path / "decoder.pt")
    with pytest.raises(FileError, match="holds no prompt encoder and mask decoder of SAM"):
        repvit_nas.sam(ENCODER, tmp_path / "encoder.pt")
