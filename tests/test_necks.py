"""What SAM's encoders have beside a classifier's units."""

import pytest

from repvit_nas.architecture import with_output
from repvit_nas.necks import FusedNeck, Neck, Widen
from repvit_nas.search_space import family
from repvit_nas.units import rows


def test_the_encoder_of_repvit_sam_has_the_published_counts():
    """THU-MIG/RepViT@298f420 sam/: 113.2 GMACs and 23.04 M parameters fused, at 1024 px."""
    units = rows(with_output(family()["repvit_m2_3"].architecture, "sam", resolution=1024))

    assert sum(unit.macs for unit in units) / 1e9 == pytest.approx(113.2, abs=0.05)
    assert sum(unit.params for unit in units) / 1e6 == pytest.approx(23.04, abs=0.005)
    # The last downsample has no stride: the stage behind it works at 64x64, as the one before.
    assert [unit for unit in units if isinstance(unit, Widen)] == [Widen(320, 640, 3, 64)]
    assert units[-1] == Neck(640, 64)
    assert units[-1].params == 640 * 256 + 256 * 256 * 9 + 4 * 256


def test_the_fusing_neck_takes_the_last_two_stages():
    """By hand: 1x1 of stage 4 at 32x32, 1x1 of stage 3 and 3x3 at 64x64, and the strides of M0.9."""
    encoder = with_output(family()["repvit_m0_9"].architecture, "sam-fused", resolution=1024)
    units = rows(encoder)
    classifier = rows(family()["repvit_m0_9"].architecture)

    assert units[-1] == FusedNeck(192, 384, 64)
    assert units[-1].macs == 384 * 256 * 32**2 + (192 * 256 + 256 * 256 * 9) * 64**2
    assert [type(unit) for unit in units[:-1]] == [type(unit) for unit in classifier[:-1]]


@pytest.mark.parametrize("neck", [Neck(16, 8, 24), FusedNeck(16, 40, 8, 24)])
def test_a_neck_needs_room_for_what_it_still_has_to_read(neck):
    """The inputs of the largest convolution beside its output, by hand."""
    map_of = {Neck: (16 + 24) * 64, FusedNeck: (24 + 24 + 16) * 64}[type(neck)]

    assert neck.peak_bytes == 2 * max(map_of, 2 * 24 * 64)
