"""What the residual knows of a unit."""

import numpy as np
import pytest

from repvit_nas.predictors.features import NAMES, RANGED, columns, unit_features
from repvit_nas.units import Block, Downsample, Features, Ffn, Head, Stem


def test_features_by_hand():
    named = dict(zip(NAMES, unit_features([Block(48, 80, 16, 5, 28)])[0], strict=True))

    assert named["block"] == 1
    assert named["stem"] == named["head"] == 0
    assert named["channels"] == pytest.approx(np.log2(48))
    assert named["inner"] == pytest.approx(np.log2(80))
    assert named["size"] == pytest.approx(np.log2(28))
    assert named["kernel"] == pytest.approx(np.log2(5))
    assert named["se"] == 1
    # 48 channels are three whole groups of 16, and as many as 64 in groups of 32; 80 are 80, and 96.
    assert named["channels_padding_16"] == named["inner_padding_16"] == 0
    assert named["channels_padding_32"] == pytest.approx(np.log2(64 / 48))
    assert named["inner_padding_32"] == pytest.approx(np.log2(96 / 80))


@pytest.mark.parametrize(
    ("unit", "kind", "channels", "inner"),
    [
        (Stem(48, 224), "stem", 24, 48),
        (Downsample(48, 96, 3, 56), "downsample", 48, 96),
        (Ffn(96, 240, 28), "ffn", 96, 240),
        (Head(384, 1000, 7), "head", 384, 1000),
    ],
)
def test_every_kind_has_its_own_switch(unit, kind, channels, inner):
    named = dict(zip(NAMES, unit_features([unit])[0], strict=True))

    assert [name for name in NAMES[:5] if named[name]] == [kind]
    assert (2 ** named["channels"], 2 ** named["inner"]) == pytest.approx((channels, inner))


def test_what_cannot_be_timed_has_no_features():
    with pytest.raises(TypeError, match="Features"):
        unit_features([Features(8, 7)])
    assert unit_features([]).shape == (0, len(NAMES))
    assert [NAMES[column] for column in columns(RANGED)] == list(RANGED)
