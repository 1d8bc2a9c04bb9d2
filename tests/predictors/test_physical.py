import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repvit_nas.necks import FusedNeck, Neck, Widen
from repvit_nas.operations import Conv, Norm, Output, Pool, Resize
from repvit_nas.predictors.physical import COLUMNS, CostForm, FormGrid, features, tabulate
from repvit_nas.search_space import family
from repvit_nas.units import Block, Downsample, Features, Ffn, Foreign, Head, Stem, rows

FORM = CostForm("none", 4.0, 40.0, 100.0, 2.0, "whole", 1)


def cost(form, unit):
    return dict(zip(COLUMNS, features(form, tabulate([unit]), COLUMNS)[0], strict=True))


def convolution(c_in=64, c_out=128, taps=1, groups=1, size=28):
    return Foreign(Conv(c_in, c_out, taps, groups, size, size))


def test_one_pointwise_convolution_by_hand():
    """64 to 128 channels at 28x28: 6.42 MMACs, 16 kB of weights, 100 kB in and 201 kB out."""
    macs, weights = 64 * 128 * 28 * 28, 64 * 128 * 2
    maps = (64 + 128) * 28 * 28 * 2
    compute = macs / 4.0e12 * 1e3
    stream = weights / 40e9 * 1e3
    chip = maps / 100e9 * 1e3

    def pointwise(overlap):
        return cost(msgspec.structs.replace(FORM, overlap=overlap), convolution())["pointwise"]

    assert pointwise("none") == pytest.approx(compute + stream + chip)
    assert pointwise("all") == pytest.approx(max(compute, stream, chip))
    assert pointwise("memory") == pytest.approx(max(compute, stream + chip))
    assert pointwise("weights-apart") == pytest.approx(max(compute, chip) + stream)
    assert pointwise("activations-apart") == pytest.approx(max(compute, stream) + chip)


def test_a_map_too_large_for_the_chip_goes_through_main_memory():
    """256 channels at 112x112 are 6.4 MB: through memory at 40 GB/s beside on-chip traffic."""
    unit = convolution(c_in=3, c_out=256, size=112)
    mb = 256 * 112 * 112 * 2 / 1e6
    free = msgspec.structs.replace(FORM, chip_mb=100.0)

    whole = cost(FORM, unit)["pointwise"] - cost(free, unit)["pointwise"]
    excess = (
        cost(msgspec.structs.replace(FORM, spill="excess"), unit)["pointwise"]
        - cost(free, unit)["pointwise"]
    )

    assert whole == pytest.approx(mb / 40)
    assert excess == pytest.approx((mb - 2.0) / 40)


def test_rows_are_padded():
    """A row of 7 elements padded to 32 moves 32/7 of the activations."""
    unit = convolution(size=7)
    slow_chip = msgspec.structs.replace(FORM, overlap="all", chip_gbps=0.001)
    padded = msgspec.structs.replace(slow_chip, row=32)

    assert cost(padded, unit)["pointwise"] / cost(slow_chip, unit)["pointwise"] == pytest.approx(
        32 / 7
    )


@pytest.mark.parametrize(
    ("unit", "columns"),
    [
        (convolution(), {"pointwise", "operation"}),
        (convolution(taps=9), {"dense", "operation"}),
        (convolution(c_in=64, c_out=64, taps=9, groups=64), {"depthwise", "operation"}),
        (Foreign(Pool(8, 7)), {"squeeze"}),
        (Foreign(Output(8, 7)), {"output"}),
        (Head(64, 10, 7), {"pointwise", "squeeze"}),
        (Features(64, 7), {"output"}),
        # A layer norm is two reductions and two passes over its map, priced as what moves a map is.
        (Foreign(Norm(64, 14)), {"squeeze", "pointwise", "operation"}),
        (Foreign(Resize(64, 7, 14)), {"pointwise", "operation"}),
        (Neck(64, 14), {"pointwise", "dense", "operation", "squeeze", "output"}),
        (
            FusedNeck(64, 96, 14),
            {"pointwise", "dense", "operation", "squeeze", "output", "elementwise"},
        ),
        (Widen(64, 128, 3, 14), {"pointwise", "depthwise", "operation"}),
        (
            Block(64, 128, 16, 3, 14),
            {"pointwise", "depthwise", "operation", "squeeze", "elementwise"},
        ),
        (Block(64, 128, 0, 3, 14), {"pointwise", "depthwise", "operation", "elementwise"}),
        (Downsample(64, 128, 3, 14), {"pointwise", "depthwise", "operation"}),
        (Ffn(64, 128, 14), {"pointwise", "operation", "elementwise"}),
        (Stem(64, 224), {"dense", "operation", "elementwise"}),
    ],
)
def test_each_unit_is_charged_where_it_belongs(unit, columns):
    charged = {name for name, value in cost(FORM, unit).items() if value > 0}

    assert charged == columns


@given(
    st.sampled_from(["none", "all", "memory", "weights-apart", "activations-apart"]),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([1, 7, 14, 28, 56]),
    st.sampled_from(["whole", "excess"]),
    st.sampled_from([1, 16, 32]),
)
def test_more_channels_never_cost_less(overlap, c_in, c_out, size, spill, row):
    form = CostForm(overlap, 4.0, 40.0, 100.0, 0.05, spill, row)
    small = features(form, tabulate([convolution(8 * c_in, 8 * c_out, size=size)]))
    large = features(form, tabulate([convolution(8 * c_in + 8, 8 * c_out + 8, size=size)]))

    assert (large >= small).all()
    assert (small >= 0).all()


def test_every_unit_of_every_reference_costs_something():
    units = sorted({u for n in family().values() for u in rows(n.architecture)}, key=repr)

    assert (features(FORM, tabulate(units)).sum(axis=1) > 0).all()


def test_units_are_priced_alone_as_together():
    units = list(rows(family()["repvit_m0_9"].architecture))
    together = features(FORM, tabulate(units))
    alone = np.vstack([features(FORM, tabulate([unit])) for unit in units])

    assert together == pytest.approx(alone)


def test_a_grid_lists_every_combination():
    grid = FormGrid(
        ("none", "all"), (4.0,), (34.1,), (100.0, 200.0), (1.0, 2.0), ("whole",), (1, 16)
    )

    assert len(set(grid.forms())) == 2 * 2 * 2 * 2


def test_elementwise_operations_cost_where_a_device_has_them():
    """A plain block at 28x28, 64 to 128 channels: GELU on 128, the addition on 64, fp16."""
    unit = Block(64, 128, 0, 3, 28)
    mb = (128 + 64) * 28 * 28 * 2 / 1e6

    assert cost(FORM, unit)["elementwise"] == pytest.approx(0.3 * mb)
    assert features(FORM, tabulate([unit])).shape == (1, 6)
