"""Masks of a student's map against those of its teacher's, by SAM's decoder."""

import pytest
import torch
from image_folders import write_pictures
from training_support import scripted, small

import repvit_nas
from repvit_nas.architecture import with_output
from repvit_nas.checking.check import Where, check_run
from repvit_nas.checking.masks import masks_of, overlaps
from repvit_nas.decoder import read_decoder
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.report.checking import check_parts
from repvit_nas.training.recipe import load_recipe
from repvit_nas.training.records import Asked, Matching
from repvit_nas.training.run import train
from repvit_nas.training.spec import DataSpec

ENCODER = with_output(small(), "sam", resolution=64)


def test_overlap_is_the_common_share_of_what_either_holds():
    one = torch.tensor([[[1, 1], [0, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]], dtype=torch.bool)
    two = torch.tensor([[[1, 0], [1, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]], dtype=torch.bool)

    assert overlaps(one, two) == [pytest.approx(1 / 3), None, 1.0]


@pytest.fixture
def checkpoint(tmp_path):
    pytest.importorskip("segment_anything")
    torch.manual_seed(1)
    model = repvit_nas.sam(ENCODER)
    torch.save(model.state_dict(), tmp_path / "sam.pt")
    return tmp_path / "sam.pt"


def test_masks_are_those_that_segment_anything_makes(checkpoint):
    model = repvit_nas.sam(ENCODER)
    state = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(state)
    decoder = read_decoder(checkpoint, 64)
    image = torch.rand(3, 64, 64)
    points = torch.tensor([[10.0, 20.0], [40.0, 30.0]])

    with torch.inference_mode():
        embedding = model.image_encoder(model.preprocess(image)[None])[0]
        found = masks_of(decoder, embedding, points)
        theirs = model(
            [
                {
                    "image": image,
                    "original_size": (64, 64),
                    "point_coords": points[:, None],
                    "point_labels": torch.ones(2, 1),
                }
            ],
            multimask_output=False,
        )[0]

    assert found.any()
    assert torch.equal(found, theirs["low_res_logits"][:, 0] > 0)


@pytest.fixture
def matched(tmp_path):
    changes = {"epochs": 1, "batch": 4, "warmup_epochs": 0}
    asked = Asked(
        architecture=ENCODER,
        recipe=load_recipe("match", changes),
        data=DataSpec(name=str(write_pictures(tmp_path / "pictures", 20))),
        matching=Matching(teacher=scripted(tmp_path)),
    )
    train(asked, tmp_path / "run")
    return tmp_path / "run"


def test_a_check_with_a_decoder_says_how_alike_masks_are(matched, checkpoint):
    found = check_run(matched, Where(decoder=checkpoint))

    assert (found.masks.points, found.masks.pictures) == (16, 2)
    assert 0 < found.masks.masks <= 32
    assert any("mean IoU" in str(part) for part in check_parts("run", found, beside=False))
    assert check_run(matched).masks is None


def test_a_decoder_is_only_for_maps_of_sam(matched, checkpoint, tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")

    with pytest.raises(FileError, match="holds no prompt encoder and mask decoder of SAM"):
        check_run(matched, Where(decoder=tmp_path / "other.pt"))


def test_a_classifier_has_no_masks(run, tmp_path):
    with pytest.raises(
        RepvitNasError, match="give a run of train --task match whose output is sam"
    ):
        check_run(run, Where(decoder=tmp_path / "sam.pt"))
