"""Names of programs say what is in them."""

import pytest
from exported import WISHES

from repvit_nas.coreml.exporting import (
    device_plan,
    planned,
)
from repvit_nas.coreml.naming import program_name
from repvit_nas.programs import chain, isolated, program
from repvit_nas.search_space.space import load_space
from repvit_nas.units import Block, Downsample, Ffn, Head, Stem


@pytest.fixture(scope="module")
def plan():
    return device_plan(load_space("repvit")[0], WISHES, at_once=True)


def test_names_say_what_is_in_a_program(plan):
    unit = Block(48, 96, 16, 3, 56)
    assert program_name(chain(unit, 8)).startswith("block-48-96-se16-k3-56px-x8--")
    assert program_name(isolated(Block(48, 96, 0, 7, 56))).startswith("block-48-96-k7-56px--")
    sandwich = program([Ffn(16, 32, 14), Downsample(16, 24, 5, 14), Ffn(24, 48, 7)])
    assert program_name(sandwich).startswith("ffn-16-32-14px+down-16-24-k5-14px+ffn-24-48-7px--")
    assert program_name(isolated(Stem(48, 224))).startswith("stem-48-224px--")
    assert program_name(isolated(Head(48, 1000, 7))).startswith("head-48-1000-7px--")
    names = [program_name(item) for item in planned(plan).values()]
    assert len(set(names)) == len(names)
    assert all(len(name) < 120 for name in names)
