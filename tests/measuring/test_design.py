import re

import numpy as np
import pytest
from support import ROOT

from repvit_nas.errors import RepvitNasError
from repvit_nas.measuring.design import choose_units, random_networks
from repvit_nas.predictors.features import RANGED, SLACK, columns, unit_features
from repvit_nas.predictors.lookup import ranges_of
from repvit_nas.predictors.residual import PRIOR_KERNEL, covariance
from repvit_nas.search_space import load_space
from repvit_nas.shapes import shapes_of
from repvit_nas.units import count, rows


@pytest.fixture(scope="module")
def pool():
    space, _ = load_space("repvit")
    return random_networks(space, 30, seed=3)


def variance_left(pool, chosen):
    """Mean variance of the pool's latencies once `chosen` are timed, by the textbook formula."""
    bags = [count(rows(network)) for network in pool]
    units = list(dict.fromkeys(unit for bag in bags for unit in bag))
    scaled = unit_features(units) / np.array(PRIOR_KERNEL.lengths)
    full = covariance(PRIOR_KERNEL, scaled, scaled)
    at = [units.index(unit) for unit in chosen]
    if at:
        error = (0.02**2 + PRIOR_KERNEL.noise**2) * np.eye(len(at))
        full = full - full[:, at] @ np.linalg.solve(full[np.ix_(at, at)] + error, full[at])
    cost = np.array([unit.macs + 2e6 for unit in units])
    shares = np.array([[bag.get(unit, 0) for unit in units] for bag in bags]) * cost
    shares /= shares.sum(axis=1, keepdims=True)
    return np.mean(np.einsum("ij,jk,ik->i", shares, full, shares))


def test_the_first_unit_is_the_best_there_is(pool):
    units = {unit for network in pool for unit in rows(network)}
    best = min(units, key=lambda unit: variance_left(pool, [unit]))

    assert variance_left(pool, choose_units(pool, 1, PRIOR_KERNEL)) == pytest.approx(
        variance_left(pool, [best])
    )


def test_chosen_units_beat_random_ones(pool):
    rng = np.random.default_rng(0)
    units = list(dict.fromkeys(unit for network in pool for unit in rows(network)))
    chosen = choose_units(pool, 20, PRIOR_KERNEL)

    by_chance = [
        variance_left(pool, [units[k] for k in rng.permutation(len(units))[:20]]) for _ in range(5)
    ]

    assert variance_left(pool, chosen) < min(by_chance)


def test_what_is_timed_already_is_not_chosen_again(pool):
    first = choose_units(pool, 10, PRIOR_KERNEL)
    more = choose_units(pool, 10, PRIOR_KERNEL, timed=first)

    assert len(set(first) | set(more)) == 20
    assert choose_units(pool, 20, PRIOR_KERNEL) == first + more


def test_every_kind_is_among_them(pool):
    kinds = [type(unit).__name__ for unit in choose_units(pool, 64, PRIOR_KERNEL)]

    assert set(kinds) == {"Stem", "Block", "Downsample", "Ffn", "Head"}
    assert kinds.count("Block") > 32


def test_the_smallest_and_largest_of_each_kind_are_among_them(pool):
    """So that other networks lie inside what was timed, up to a quarter of an octave."""
    chosen = choose_units(pool, 70, PRIOR_KERNEL)
    ranges = ranges_of(chosen)

    for unit in {unit for network in pool for unit in rows(network)}:
        values = unit_features([unit])[0, columns(RANGED)]
        for name, value in zip(RANGED, values, strict=True):
            low, high = ranges[type(unit).__name__.lower()][name]
            assert low - SLACK <= value <= high + SLACK, (unit, name)


def test_a_pool_has_only_so_many_units(pool):
    units = {unit for network in pool[:1] for unit in rows(network)}

    assert set(choose_units(pool[:1], 999, PRIOR_KERNEL)) == units


def test_random_networks_are_different_and_keep_the_constraints():
    space, _ = load_space("repvit")

    networks = random_networks(space, 200, seed=0, resolution=192)

    assert len({network.stages for network in networks}) == 200
    assert (space.violations(shapes_of(networks)) <= 0).all()
    assert {network.resolution for network in networks} == {192}
    assert networks == random_networks(space, 200, seed=0, resolution=192)
    assert networks[0].stages != random_networks(space, 1, seed=1)[0].stages


def test_a_small_space_says_so_instead_of_searching_for_ever(tmp_path):
    text = (ROOT / "search_space" / "repvit.toml").read_text()
    for field in ("width", "depth"):
        text = re.sub(
            rf"^{field} = {{ min = (\d+), .*$", rf"{field} = [\1]", text, flags=re.MULTILINE
        )
    text = re.sub(r"^expansion = .*$", "expansion = [2.0]", text, flags=re.MULTILINE)
    text = text.replace('se = ["none", "alternate", "all"]', 'se = ["none"]')
    (tmp_path / "small.toml").write_text(text)
    space, _ = load_space(str(tmp_path / "small.toml"))

    assert len(random_networks(space, 5, seed=0, fewer=True)) == 1
    with pytest.raises(RepvitNasError, match="has no 5 different networks: 1 were found"):
        random_networks(space, 5, seed=0)
