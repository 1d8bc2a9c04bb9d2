"""The units of the path, counted by hand."""

import msgspec
import pytest

from repvit_nas.path_units import (
    ConvGelu,
    GatedDownsample,
    Inverted,
    Separated,
    WideHead,
    after_stride,
)


def test_a_stride_of_two_rounds_up():
    assert [after_stride(15, 1), after_stride(15, 2), after_stride(14, 2)] == [15, 8, 7]


@pytest.mark.parametrize(
    ("unit", "macs", "params"),
    [
        (ConvGelu(3, 16, 3, 2, 8), 27 * 16 * 16, 27 * 16 + 16),
        # No first convolution where the width stays: depthwise and 1x1.
        (Inverted(4, 4, 4, 0, 3, 1, 2), 4 * (36 + 16), 36 + 4 + 16 + 4),
        # 1x1, depthwise 5x5 to a quarter of the map, SE of 8, 1x1.
        (
            Inverted(4, 16, 8, 8, 5, 2, 4),
            16 * 64 + 4 * 400 + 256 + 4 * 128,
            64 + 16 + 400 + 16 + 128 + 8 + 128 + 16 + 128 + 8,
        ),
        (Separated(4, 8, 6, 0, 3, 1, 2), 4 * (36 + 32 + 48), 36 + 4 + 32 + 8 + 48 + 6),
        (GatedDownsample(4, 6, 8, 3, 4), 4 * 36 + 64 + 4 * 24, 36 + 4 + 32 + 8 + 32 + 4 + 24 + 6),
        (WideHead(4, 8, 6, 5, 2), 4 * 32 + 48 + 30, 32 + 8 + 48 + 6 + 30 + 5),
    ],
    ids=repr,
)
def test_counts_are_those_of_a_hand(unit, macs, params):
    assert (unit.macs, unit.params) == (macs, params)


@pytest.mark.parametrize(
    ("unit", "elements"),
    [
        (ConvGelu(3, 16, 3, 2, 8), 3 * 64 + 16 * 16),
        # What came in stays for the residual: it, and the hidden map before and behind.
        (Inverted(4, 16, 4, 0, 3, 1, 4), 16 * (4 + 16 + 16)),
        # Nothing stays where the size changes: hidden map before, and a quarter of it behind.
        (Inverted(4, 16, 8, 0, 3, 2, 4), 16 * 16 + 4 * 16),
        (Inverted(4, 4, 4, 0, 3, 1, 4), 16 * (4 + 4 + 4)),
        (Separated(4, 32, 6, 0, 3, 1, 2), 4 * (32 + 6)),
        (GatedDownsample(4, 6, 8, 3, 4), 4 * 16 + 4 * 4),
        (WideHead(4, 8, 60, 50, 2), 60 + 50),
    ],
    ids=repr,
)
def test_peaks_are_those_of_a_hand(unit, elements):
    assert unit.peak_bytes == 2 * elements


def test_what_is_a_block_is_no_separated_unit():
    with pytest.raises(ValueError, match="changes width or size; got 8 channels"):
        Separated(8, 16, 8, 0, 3, 1, 4)


def test_a_stride_is_one_or_two():
    with pytest.raises(msgspec.ValidationError, match="<= 2"):
        msgspec.convert(
            {"type": "conv-gelu", "c_in": 3, "c_out": 8, "kernel": 3, "stride": 3, "size": 8},
            ConvGelu,
        )
