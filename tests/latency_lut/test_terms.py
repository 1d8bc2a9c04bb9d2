"""What the rows of a table follow from, by which programs were timed."""

import pytest

from repvit_nas.latency_lut.plan import Plan
from repvit_nas.latency_lut.terms import plan_terms
from repvit_nas.programs import chain, isolated, network, recipe
from repvit_nas.search_space.family import family
from repvit_nas.units import Ffn, Stem, rows

ONE, TWO, THREE = (
    family()[name].architecture for name in ("repvit_m0_6", "repvit_m0_9", "repvit_m1_0")
)
FFN, STEM = Ffn(48, 96, 14), Stem(48, 224)
PLAN = Plan(
    seed=0, resolution=224, lengths=(2, 6, 16), sentinel=THREE, calibration=(ONE,), held_out=(TWO,),
    isolated=True, wanted=2, explored=True, units=(FFN, STEM),
)  # fmt: skip


def keys(unit, *lengths):
    return [chain(unit, length).key for length in lengths]


def test_what_was_not_timed_has_no_row():
    found = plan_terms(PLAN, {network(TWO).key, isolated(rows(TWO)[0]).key})

    assert found.units == []
    assert [(row.role, row.architecture) for row in found.networks] == [("held_out", TWO)]
    assert [row.unit for row in found.isolated] == [rows(TWO)[0]]


def test_a_unit_is_the_slope_over_the_chains_that_were_timed():
    """Through 6 and 16 copies it is a tenth of their difference."""
    (found,) = plan_terms(PLAN, {*keys(FFN, 6, 16)}).units

    short, long = keys(FFN, 6, 16)
    assert found.unit == FFN
    assert dict(found.terms) == {short: pytest.approx(-0.1), long: pytest.approx(0.1)}


def test_one_chain_gives_no_slope():
    assert plan_terms(PLAN, {*keys(FFN, 6)}).units == []


def test_a_unit_between_neighbours_takes_their_chains_and_half_a_call():
    wanted = {item.key: weight for item, weight in recipe(STEM).terms}

    (found,) = plan_terms(PLAN, wanted).units

    assert (found.unit, dict(found.terms), found.calls) == (STEM, wanted, 0.5)


def test_programs_of_a_kind_are_told_from_others():
    found = plan_terms(PLAN, ())

    assert found.sentinel == network(THREE).key
    assert found.groups[network(ONE).key] == "network"
    assert found.groups[isolated(rows(TWO)[0]).key] == "isolated"
    assert [found.groups[key] for key in keys(FFN, 2, 6, 16)] == ["2 units", "6 units", "16 units"]
