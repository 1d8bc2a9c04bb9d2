"""What is measured of a device, and what is chosen after the first round."""

import msgspec
import pytest
from simulated import quiet, session_in, true_latency_ms

from repvit_nas.errors import RepvitNasError
from repvit_nas.measuring.campaign import (
    Wishes,
    first_plan,
    network_plan,
    sentinel,
    time_networks,
)
from repvit_nas.measuring.session import Limits
from repvit_nas.programs import network
from repvit_nas.search_space import load_space
from repvit_nas.units import ends


def test_the_sentinel_itself_can_be_measured(tmp_path):
    """Its visits are many a round; as a network it has one row like any other."""
    session = session_in(tmp_path)
    same = msgspec.structs.replace(sentinel(224), name="repvit_m0_9")
    plan = session.plan(network_plan([same], seed=0))

    table = time_networks(session, plan, Limits(0.2, 0.001), quiet, None)

    (row,) = table.networks("held_out")
    assert row.latency_ms == pytest.approx(true_latency_ms(network(same).units), rel=0.02)


WISHES = Wishes(units=24, calibration=6, held_out=6, isolated=True, seed=0)


@pytest.mark.parametrize("few", [{"units": 7}, {"calibration": 2}, {"held_out": 1}])
def test_a_plan_that_is_too_small_to_fit_or_to_check_is_refused(few):
    space, _ = load_space("repvit")

    with pytest.raises(
        RepvitNasError, match="at least --units 8, --calibration 3 and --networks 2"
    ):
        first_plan(space, WISHES._replace(**few))


def test_a_first_plan_holds_what_is_wished_for_and_half_of_the_units():
    space, _ = load_space("repvit")

    plan = first_plan(space, WISHES)

    assert (len(plan.calibration), len(plan.held_out), plan.wanted) == (6, 6, 24)
    assert len(plan.units) == 20  # never fewer where so many are wished for
    assert not plan.explored
    assert len(set(plan.networks)) == 12
    assert first_plan(space, WISHES) == plan
    assert first_plan(space, WISHES._replace(seed=1)).networks != plan.networks


def test_where_nobody_looks_at_the_first_round_all_units_are_chosen_at_once():
    space, _ = load_space("repvit")

    plan = first_plan(space, WISHES, at_once=True)

    assert plan.explored
    assert len(plan.units) == 24


def test_a_plan_of_networks_may_keep_the_sentinel_of_a_table():
    plan = network_plan([sentinel(160)], seed=0, sentinel_resolution=224)

    assert (plan.resolution, plan.sentinel.resolution) == (160, 224)
    assert plan.units == ()


@pytest.mark.parametrize("output", ["features", "sam"])
def test_whole_networks_are_what_is_asked_for_and_units_those_that_are_timed_alone(output):
    space, _ = load_space("repvit")
    wishes = WISHES._replace(output=output, isolated=False)

    plan = first_plan(space, wishes)

    assert {item.output for item in plan.networks} == {plan.output} == {output}
    assert plan.sentinel.output == "logits"
    kinds = {type(unit).__name__ for unit in plan.units}
    # Of a backbone the units of a classifier are timed; an encoder has other sizes, and no head.
    head = set() if output == "sam" else {"Head"}
    assert kinds == {"Stem", "Block", "Downsample", "Ffn"} | head
    assert plan.resolution == (1024 if output == "sam" else 224)
    sides = {ends(unit).size_in for unit in plan.units}
    assert (7 in sides) == (output == "features")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": "features"}, "--isolated is for networks of classes; leave it out"),
        ({"output": "sam-fused", "isolated": False}, "a neck that takes two maps is not timed"),
        (
            {"output": "sam", "isolated": False, "resolution": 500},
            "resolution must be a multiple of 16 where output is sam; got 500",
        ),
    ],
)
def test_what_is_no_chain_of_units_is_said_before_anything_is_timed(changes, said):
    space, _ = load_space("repvit")

    with pytest.raises(RepvitNasError, match=said):
        first_plan(space, WISHES._replace(**changes))
