"""What primitive operations compute and move, by hand."""

import pytest

from repvit_nas.operations import Conv, Norm, Output, Pointwise, Pool, Resize


@pytest.mark.parametrize(
    ("conv", "weights", "macs", "elements"),
    [
        # Pointwise, 48 to 96 channels at 14 px: 4,608 weights, each used at 196 places.
        (Conv(48, 96, 1, 1, 14, 14), 4_608, 903_168, (9_408, 18_816)),
        # Depthwise, 3 x 3, stride 2: 9 weights a channel.
        (Conv(48, 48, 9, 48, 14, 7), 432, 21_168, (9_408, 2_352)),
        # A linear layer of 384 features and 1,000 classes.
        (Conv(384, 1_000, 1, 1, 1, 1), 384_000, 384_000, (384, 1_000)),
        # A stem's first convolution at 224 px: 3 x 9 x 24 weights at 112 x 112 places.
        (Conv(3, 24, 9, 1, 224, 112), 648, 8_128_512, (150_528, 301_056)),
    ],
)
def test_a_convolution_is_counted_as_papers_count_it(conv, weights, macs, elements):
    assert conv.weights == weights
    assert conv.params == weights + conv.c_out  # and a bias each
    assert conv.macs == macs
    assert (conv.elements_in, conv.elements_out) == elements


@pytest.mark.parametrize(
    ("function", "read"), [("gelu", 784), ("relu", 784), ("add", 2 * 784), ("scale", 784 + 16)]
)
def test_elementwise_operations_compute_nothing_and_read_all_they_take(function, read):
    one = Pointwise(function, 16, 7)

    assert (one.macs, one.params) == (0, 0)
    assert (one.elements_in, one.elements_out) == (read, 784)


def test_a_mean_leaves_a_value_a_channel_and_an_output_all_of_them():
    assert (Pool(16, 7).elements_in, Pool(16, 7).elements_out) == (784, 16)
    assert (Output(16, 7).elements_in, Output(16, 7).elements_out) == (784, 784)
    assert (Norm(16, 7).elements_in, Norm(16, 7).elements_out) == (784, 784)
    assert (Resize(16, 7, 14).elements_in, Resize(16, 7, 14).elements_out) == (784, 3_136)
    assert Pool(16, 7).macs == Output(16, 7).macs == Norm(16, 7).macs == Resize(16, 7, 14).macs == 0
    assert (Pool(16, 7).params, Output(16, 7).params, Norm(16, 7).params) == (0, 0, 2 * 16)
