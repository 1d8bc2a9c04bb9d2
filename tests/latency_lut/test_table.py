"""One table of visits that would be read by several statistics, if it were read several times."""

import msgspec
import numpy as np
import pytest

from repvit_nas.architecture import with_output
from repvit_nas.latency_lut.placement import gated_table
from repvit_nas.latency_lut.plan import Plan
from repvit_nas.latency_lut.table import Table, build_table
from repvit_nas.latency_lut.visits import Visit
from repvit_nas.programs import chain, network
from repvit_nas.search_space.family import family
from repvit_nas.units import Ffn

CALM, CUT, TINY = Ffn(48, 96, 14), Ffn(64, 128, 14), Ffn(16, 16, 7)
LENGTHS = (2, 6, 16)
NETWORKS = tuple(family()[name].architecture for name in ("repvit_m0_9", "repvit_m1_0"))
SENTINEL = family()["repvit_m1_1"].architecture


@pytest.fixture(scope="module")
def plan():
    return Plan(
        seed=0, resolution=224, lengths=LENGTHS, sentinel=SENTINEL, calibration=NETWORKS[:1],
        held_out=NETWORKS[1:], isolated=False, wanted=3, explored=True, units=(CALM, CUT, TINY),
    )  # fmt: skip


def interrupted(rng, truth):
    """Calls that others' work only ever makes longer: the fastest repeats."""
    return truth * (1 + rng.exponential(0.3, 12) + 0.001)


def lucky(rng, truth):
    """Calls of which a few are faster, each time by another share: the median repeats."""
    samples = np.full(12, truth) * (1 + 0.001 * rng.standard_normal(12))
    samples[: rng.integers(1, 4)] *= rng.uniform(0.4, 0.9)
    return samples


@pytest.fixture(scope="module")
def visits(plan):
    """Six rounds in which chains of one unit, and networks, are each steady in a way of their own."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(6):
        programs = [(chain(CALM, k), lucky, 0.2 * k) for k in LENGTHS]
        programs += [(chain(CUT, k), interrupted, 0.1 * k) for k in LENGTHS]
        programs += [(chain(TINY, k), lucky, 5.0) for k in LENGTHS]
        programs += [(network(item), interrupted, 10.0 + k) for k, item in enumerate(NETWORKS)]
        for position, (program, noise, truth) in enumerate(programs):
            samples = tuple(noise(rng, truth).tolist())
            found.append(Visit(number, position, program.key, (), samples, 1.0))
    return found


def figure(visits, key, table):
    """Return a program's milliseconds by the statistic that a table states; no round drifts."""
    within = [np.quantile(item.samples, table.statistic) for item in visits if item.key == key]
    return float(np.quantile(np.array(within) / table.drift, table.across_rounds))


def test_every_row_is_read_by_the_statistic_that_the_table_states(plan, visits):
    """One unit has all its chains, another lacks the shortest."""
    table = gated_table("phone", plan, visits, frozenset({chain(CUT, 2).key}))

    calm, cut = table.units
    assert (calm.unit, cut.unit) == (CALM, CUT)
    slope = np.polyfit(LENGTHS, [figure(visits, chain(CALM, k).key, table) for k in LENGTHS], 1)[0]
    assert calm.latency_ms == pytest.approx(slope, abs=1e-6)
    long, longest = (figure(visits, chain(CUT, k).key, table) for k in LENGTHS[1:])
    assert cut.latency_ms == pytest.approx((longest - long) / 10, abs=1e-6)
    for row in (*table.networks("calibration"), *table.networks("held_out")):
        found = figure(visits, network(row.architecture).key, table)
        assert row.latency_ms == pytest.approx(found, abs=1e-6)
    assert table.unresolved == (TINY,)


def test_a_table_states_what_its_networks_hand_back(plan, visits):
    backbones = tuple(with_output(item, "features") for item in NETWORKS)
    planned = msgspec.structs.replace(plan, calibration=backbones[:1], held_out=backbones[1:])
    keys = {
        network(one).key: network(two).key for one, two in zip(NETWORKS, backbones, strict=True)
    }
    timed = [msgspec.structs.replace(item, key=keys.get(item.key, item.key)) for item in visits]

    table = build_table("phone", planned, timed)

    written = msgspec.json.decode(msgspec.json.encode(table), type=Table)
    assert written.output == "features"
    assert [row.architecture for row in written.networks("held_out")] == list(backbones[1:])
    assert build_table("phone", plan, visits).output == "logits"
    assert msgspec.structs.replace(table, rows=tuple(table.units)).output == "logits"
