"""What a session times, round by round."""

import msgspec
import pytest

from repvit_nas.architecture import with_output
from repvit_nas.latency_lut.plan import Plan, exploring, programs
from repvit_nas.programs import chain, network
from repvit_nas.search_space.family import family
from repvit_nas.units import Ffn, rows

ONE, TWO = (family()[name].architecture for name in ("repvit_m0_6", "repvit_m0_9"))
UNITS = tuple(Ffn(width, 2 * width, 14) for width in range(8, 8 + 8 * 30, 8))


PLAN = Plan(
    seed=0, resolution=224, lengths=(2, 6), sentinel=ONE, calibration=(ONE,), held_out=(TWO,),
    isolated=True, wanted=len(UNITS), explored=True, units=UNITS,
)  # fmt: skip


def plan(**changes):
    return msgspec.structs.replace(PLAN, **changes)


@pytest.mark.parametrize(("wanted", "first"), [(8, 8), (20, 20), (30, 20), (40, 20), (200, 100)])
def test_half_of_the_units_are_chosen_first_but_never_fewer_than_twenty(wanted, first):
    assert exploring(wanted) == first


def test_a_round_times_chains_networks_and_in_the_first_two_the_lone_units():
    lone = set(rows(TWO))
    chains = {chain(unit, copies).key for unit in UNITS for copies in (2, 6)}
    whole = {network(ONE).key, network(TWO).key}

    first, second, third = (set(programs(plan(), number)) for number in range(3))

    assert third == chains | whole
    assert third < second
    assert len(second - third) == len(lone)
    assert second - first == {chain(u, copies).key for u in UNITS[20:] for copies in (2, 6)}


def test_lone_units_are_timed_where_that_is_asked_for():
    assert plan(isolated=False).isolated_units() == []


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({}, ""),
        ({"seed": 1}, "--seed"),
        ({"calibration": (), "held_out": (with_output(TWO, "features"),)}, "--output"),
        ({"wanted": 50}, "--units"),
        ({"held_out": (ONE,)}, "--networks or --space"),
        ({"explored": False, "units": UNITS[:20]}, ""),  # that follows from what was timed
    ],
)
def test_two_plans_differ_by_the_first_option_that_made_them(changes, option):
    assert plan().other_option(plan(**changes)) == option


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"units": UNITS[:1] * 2}, "units must list different units"),
        ({"lengths": (2, 2)}, r"two different numbers from 1 on; got \(2, 2\)"),
        (
            {"held_out": (with_output(TWO, "features"),)},
            "networks must all hand back the same; got features, logits",
        ),
        ({"lengths": (0, 2)}, r">= 1 - at `\$.lengths\[0\]`"),
    ],
)
def test_a_plan_of_which_no_table_can_come_is_refused(changes, said):
    content = msgspec.json.encode(msgspec.to_builtins(plan()) | msgspec.to_builtins(changes))

    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.json.decode(content, type=Plan)
