"""SAM's decoder, read from a checkpoint by SAM's own names."""

import sys

import pytest
import torch
from training_support import small

import repvit_nas
from repvit_nas.architecture import with_output
from repvit_nas.decoder import decoder_weights, new_decoder, read_decoder
from repvit_nas.errors import FileError, RepvitNasError


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "segment_anything", None)

    with pytest.raises(RepvitNasError, match=r"pip install 'repvit-nas\[sam\]'"):
        new_decoder(64)


def test_a_checkpoint_gives_its_decoder_and_no_other_part(tmp_path):
    pytest.importorskip("segment_anything")
    model = repvit_nas.sam(with_output(small(), "sam", resolution=64))
    torch.save(model.state_dict(), tmp_path / "sam.pt")

    decoder = read_decoder(tmp_path / "sam.pt", 64)

    for module, own in zip(decoder, (model.prompt_encoder, model.mask_decoder), strict=True):
        states = module.state_dict(), own.state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    kinds = {key.partition(".")[0] for key in decoder_weights(tmp_path / "sam.pt")}
    assert kinds == {"prompt_encoder", "mask_decoder"}


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    torch.save({"image_encoder.x": torch.zeros(1)}, tmp_path / "encoder.pt")

    with pytest.raises(FileError, match="holds no prompt encoder and mask decoder of SAM"):
        decoder_weights(tmp_path / "encoder.pt")
