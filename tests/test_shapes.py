import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support import architectures

from repvit_nas.shapes import shapes_of


@given(st.lists(architectures(max_depth=20), min_size=1, max_size=5))
def test_arrays_lose_nothing_but_the_name(networks):
    shapes = shapes_of(networks)

    for row, network in enumerate(networks):
        assert shapes.architecture(row, network.name) == network


@given(architectures(max_depth=20))
def test_blocks_with_se_are_counted(network):
    shapes = shapes_of([network])

    assert shapes.se_blocks[0].tolist() == [stage.se.count("1") for stage in network.stages]
    assert shapes.width.dtype == np.int64
