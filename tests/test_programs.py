import numpy as np
import pytest
from simulated import OVERHEAD_MS, true_cost_ms, true_latency_ms

from repvit_nas.programs import chain, isolated, network, program, recipe
from repvit_nas.search_space import family
from repvit_nas.units import Block, Downsample, Features, Ffn, Head, Stem, rows

UNITS = [
    Block(64, 128, 16, 3, 28),
    Block(48, 96, 0, 3, 56),
    Ffn(96, 192, 28),
    Downsample(48, 96, 3, 56),
    Stem(48, 224),
    Head(384, 1000, 7),
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("lengths", [(2, 6), (2, 8, 16), (1, 3, 4, 9)])
def test_a_recipe_gives_the_cost_where_calls_and_entries_cost_too(unit, lengths):
    """On the simulated device every call pays an overhead, and input and output by their size.

    What a sandwich cannot cancel is half the entry of one side against half of the other's: for a
    downsample they are known shapes, and a stem's or head's own side is free here.
    """
    how = recipe(unit, lengths)

    found = sum(factor * true_latency_ms(item.units) for item, factor in how.terms)

    expected = true_cost_ms(unit) + how.calls * OVERHEAD_MS
    assert found == pytest.approx(expected, rel=1e-9)


def test_an_isolated_unit_costs_more_than_it_does_in_a_network():
    unit = Block(48, 96, 0, 3, 56)

    assert true_latency_ms(isolated(unit).units) > 1.1 * true_cost_ms(unit)


def test_a_network_is_its_units_in_order():
    architecture = family()["repvit_m1_0"].architecture

    assert tuple(network(architecture).sequence) == rows(architecture)
    assert network(architecture).macs == sum(unit.macs for unit in rows(architecture))


def test_keys_tell_programs_apart():
    unit, other = Block(64, 128, 16, 3, 28), Block(64, 128, 0, 3, 28)
    listed = [chain(unit, 2), chain(unit, 6), chain(other, 2), program([unit, other])]

    assert len({item.key for item in listed}) == len(listed)
    assert program([unit, unit]).key == chain(unit, 2).key


def test_a_feature_map_cannot_be_timed_alone():
    with pytest.raises(TypeError, match="Features cannot be timed"):
        recipe(Features(64, 28))


def test_more_chains_make_the_slope_of_least_squares():
    unit, lengths = Ffn(96, 192, 28), (2, 3, 7)
    times = {chain(unit, k).key: ms for k, ms in zip(lengths, (1.0, 1.7, 3.2), strict=True)}

    slope = sum(factor * times[item.key] for item, factor in recipe(unit, lengths).terms)

    assert slope == pytest.approx(np.polyfit(lengths, (1.0, 1.7, 3.2), 1)[0])
