"""A network's price is a sum of table rows, whatever its place in the space."""

import numpy as np
import pytest

from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.search_space import load_space
from repvit_nas.searching.tables import PriceTable
from repvit_nas.units import rows


@pytest.fixture(scope="module")
def drawn(small_space):
    """A table of two devices, and what it says of forty networks."""
    predictors = [load_predictor(device)[0] for device in ("iphone12", "iphone13")]
    table = PriceTable(small_space, predictors, 192, 10)
    choices = small_space.sample(np.random.default_rng(4), 40)
    shapes = small_space.decode(choices, resolution=192, num_classes=10)
    gated = np.array([
        [stage.se.count("1") for stage in shapes.architecture(row).stages] for row in range(40)
    ])  # fmt: skip
    return table, predictors, choices, shapes, gated


def test_prices_are_sums_over_the_units_of_a_network(drawn):
    table, predictors, choices, shapes, gated = drawn
    prices = table.price(choices, shapes.depth, gated)

    for row in range(40):
        units = rows(shapes.architecture(row))
        assert prices.macs[row] == sum(unit.macs for unit in units)
        assert prices.params[row] == sum(unit.params for unit in units)
        for place, predictor in enumerate(predictors):
            members = predictor.overheads_ms + predictor.unit_costs(units).sum(axis=0)
            assert prices.latency_ms[row, place] == pytest.approx(members.mean(), rel=1e-9)
            assert prices.variance[row, place] == pytest.approx(members.var(), rel=1e-3)


def test_without_variance_the_rest_is_the_same(drawn):
    table, _, choices, shapes, gated = drawn
    prices = table.price(choices, shapes.depth, gated)

    quick = table.price(choices, shapes.depth, gated, variance=False)

    assert quick.variance is None
    assert quick.latency_ms == pytest.approx(prices.latency_ms, rel=1e-12)
    assert quick.macs.tolist() == prices.macs.tolist()


def test_plain_openings_cost_their_downsample_alone():
    space, _ = load_space("downsample")
    predictor, _ = load_predictor("iphone12")
    choices = space.sample(np.random.default_rng(2), 30)
    shapes = space.decode(choices)

    prices = PriceTable(space, [predictor], 224, 1000).price(
        choices, shapes.depth, shapes.se_blocks
    )

    assert shapes.plain.any()
    for row in range(30):
        network = shapes.architecture(row)
        assert prices.macs[row] == sum(unit.macs for unit in rows(network))
        assert prices.latency_ms[row, 0] == pytest.approx(predictor.estimate(network).latency_ms)
