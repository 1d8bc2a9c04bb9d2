import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import architectures

from repvit_nas.architecture import Architecture, Stage
from repvit_nas.search_space.constraints import parse
from repvit_nas.shapes import shapes_of


@given(st.lists(architectures(), min_size=1, max_size=4))
def test_a_violation_is_the_distance_to_the_rule(networks):
    shapes = shapes_of(networks)
    widths = np.array([[stage.width for stage in network.stages] for network in networks])
    depths = np.array([[stage.depth for stage in network.stages] for network in networks])
    gates = np.array([[stage.se.count("1") for stage in n.stages] for n in networks])

    assert parse("width[0] <= width[1]")(shapes).tolist() == (widths[:, 0] - widths[:, 1]).tolist()
    assert parse("width[3] >= 2 * width[2] - 8")(shapes) == pytest.approx(
        2 * widths[:, 2] - 8 - widths[:, 3]
    )
    assert parse("depth[0] + depth[1] == depth[2] / 2")(shapes) == pytest.approx(
        np.abs(depths[:, 0] + depths[:, 1] - depths[:, 2] / 2)
    )
    assert parse("-se[0] <= 0")(shapes).tolist() == (-gates[:, 0]).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "width[0]",
        "width[0] < width[1]",
        "width[4] <= 1",
        "width[-1] <= 1",
        "colour[0] <= 1",
        "width <= 1",
        "width[0] <= width[1] <= width[2]",
        "__import__('os').system('true') <= 1",
        "width[0] ** 2 <= 1",
        "(lambda: 1)() <= 1",
        "True <= 1",
        "'a' <= 1",
        "width[0] <= ",
        "(" * 500 + "1" + ")" * 500 + " <= 1",
        "\x00 <= 1",
        "width[0] <= " + "9" * 400,
        "width[0] <= 1e999 - 1e999",
        "width[0] <= 1e10",
        "+".join(["1"] * 5000) + " <= 1",
    ],
)
def test_anything_else_is_refused_and_never_run(text):
    with pytest.raises(ValueError, match="a constraint is one comparison"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "width[0] / (depth[0] - depth[0]) >= 1",
        "1 / (depth[0] - depth[0]) >= 1",
        "(depth[0] - depth[0]) / (depth[0] - depth[0]) <= 1",
        "-" * 3 + "*".join(["1e9"] * 40) + " >= 1",
    ],
)
def test_arithmetic_without_a_result_breaks_the_constraint(text):
    network = Architecture(stages=tuple(Stage(width=8, depth=1, se="0") for _ in range(4)))

    assert parse(text)(shapes_of([network])).tolist() == [1e9]
