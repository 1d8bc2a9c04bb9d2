"""Which units to time: those that make the latencies of networks best known.

A Gaussian process says how sure each unit's cost is, whatever its value turns out to be. A network
is as uncertain as its units weighed by their share of its latency. Units are chosen one by one,
each the one that lowers the mean variance of a pool of random networks most. With the prior kernel,
before anything is known, that fills the space; with a fitted one it goes where the predictor is
least certain.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from repvit_nas.architecture import LOGITS, Architecture, OutputKind
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.table import Table
from repvit_nas.predictors.features import RANGED, SLACK, columns, unit_features
from repvit_nas.predictors.lookup import Timeable
from repvit_nas.predictors.residual import Kernel, covariance
from repvit_nas.search_space.space import Space
from repvit_nas.shapes import Floats
from repvit_nas.units import Unit, count, rows
from repvit_nas.words import number_of

# What a unit costs before anything is known, beside its MACs: fixed cost in MACs.
_FIXED_MACS: Final = 2e6
# Relative standard deviation that a timed unit is expected to have.
_EXPECTED_NOISE: Final = 0.02
# Of each kind of unit at least this share of the units is timed: a network is only interpolated if
# all its kinds were measured, however little they matter.
_LEAST_SHARE: Final = 0.06
# After the first few, which have to say the most, one unit in so many is chosen where its kind's
# smallest or largest have not been timed yet: what lies outside is only modelled, and a network with
# one such unit is.
_EDGE_AFTER: Final = 8
_EDGE_EVERY: Final = 3
# After so many draws of many networks without a new one, a space is taken to have no more.
_FRUITLESS: Final = 50


def random_networks(
    space: Space,
    number: int,
    *,
    seed: int,
    resolution: int | None = None,
    name: str = "random",
    fewer: bool = False,
    output: OutputKind = LOGITS,
) -> list[Architecture]:
    """Draw different networks of a space uniformly; its constraints hold.

    Args:
        space: The space.
        number: How many to draw.
        seed: Of the draws.
        resolution: Input side in pixels; None takes the space's.
        name: What their names begin with.
        fewer: Whether fewer will do, if the space has not so many.
        output: What they hand back.

    Raises:
        RepvitNasError: The space has fewer, and they will not do; or none hands that back at this side.
    """
    rng = np.random.default_rng(seed)
    found: dict[object, Architecture] = {}
    fruitless = 0
    while len(found) < number:
        before = len(found)
        choices = space.sample(rng, max(64, number))
        shapes = space.decode(
            choices,
            resolution=resolution,
            num_classes=1000 if output == LOGITS else 0,
            output=output,
        )
        allowed = (space.violations(shapes) <= 0).all(axis=1)
        for row in np.flatnonzero(allowed):
            try:
                drawn = shapes.architecture(int(row), f"{name}-{len(found)}")
            except ValueError as error:  # such as a side that a neck cannot take
                raise RepvitNasError(str(error)) from error
            # Different choices may be one network: at depth 1 two patterns of SE are.
            if drawn.stages not in found and len(found) < number:
                found[drawn.stages] = drawn
        fruitless = 0 if len(found) > before else fruitless + 1
        if fruitless == _FRUITLESS:
            break
    if len(found) < number and not fewer:
        raise RepvitNasError(
            f"space {space.name!r} has no {number} different networks: {len(found)} were found; ask "
            "for fewer --networks and --calibration, or give a larger --space"
        )
    return list(found.values())


def fresh_networks(
    space: Space, number: int, table: Table, *, seed: int, output: OutputKind = LOGITS
) -> list[Architecture]:
    """Draw networks that a table does not hold, at its resolution.

    Raises:
        RepvitNasError: The space has fewer.
    """
    seen = {
        row.architecture.stages
        for role in ("calibration", "held_out")
        for row in table.networks(role)
        if isinstance(row.architecture, Architecture)
    }
    drawn = random_networks(
        space,
        number + len(seen),
        seed=seed,
        resolution=table.resolution,
        fewer=True,
        output=output,
    )
    fresh = [network for network in drawn if network.stages not in seen][:number]
    if len(fresh) < number:
        raise RepvitNasError(
            f"space {space.name!r} has only {number_of(len(fresh), 'network')} that measure-lut did "
            f"not time; --networks asks for {number}"
        )
    return fresh


def choose_units(
    networks: Sequence[Architecture],
    number: int,
    kernel: Kernel,
    *,
    timed: Sequence[Unit] = (),
    costs: Callable[[Sequence[Unit]], Floats] | None = None,
) -> list[Unit]:
    """Choose units to time.

    Args:
        networks: The pool whose latencies are to be known; its units are the candidates, but for a
            neck and what only hands a map back, which are not timed by themselves.
        number: How many units to choose, fewer if the pool has fewer.
        kernel: What is known of how costs vary.
        timed: Units that are timed already.
        costs: The units' costs as far as they are known, in any unit; MACs by default.

    Returns:
        The units in the order in which they were chosen, best first.
    """
    bags = [
        count(unit for unit in rows(network) if isinstance(unit, Timeable)) for network in networks
    ]
    candidates = list(dict.fromkeys([*timed, *(unit for bag in bags for unit in bag)]))
    position = {unit: index for index, unit in enumerate(candidates)}
    cost = _default_costs(candidates) if costs is None else costs(candidates)
    shares = np.zeros((len(bags), len(candidates)))
    for row, bag in enumerate(bags):
        for unit, times in bag.items():
            shares[row, position[unit]] = times * cost[position[unit]]
    shares /= shares.sum(axis=1, keepdims=True)
    features = unit_features(candidates)
    sizes = features[:, columns(RANGED)]
    scaled = features / np.array(kernel.lengths)
    error = _EXPECTED_NOISE**2 + kernel.noise**2
    known = np.zeros((0, len(candidates)))
    variance = np.full(len(candidates), kernel.deviation**2)
    # Covariance between each network's latency and each unit, `(networks, units)`.
    coupled = np.concatenate(
        [covariance(kernel, part, scaled) @ shares.T for part in np.array_split(scaled, 8)]
    ).T
    open_ = np.ones(len(candidates), dtype=bool)
    kinds = np.array([type(unit).__name__ for unit in candidates])
    chosen: list[Unit] = []
    steps = min(len(candidates), len(timed) + number)
    for step in range(steps):
        if step < len(timed):
            best = position[timed[step]]
        else:
            gain = (coupled**2).sum(axis=0) / (variance + error)
            allowed = open_ & _due(kinds, open_)
            if step >= _EDGE_AFTER and step % _EDGE_EVERY == 0:
                edge = open_ & _edges(kinds, sizes, open_)
                allowed = edge if edge.any() else allowed
            best = int(np.argmax(np.where(allowed, gain, -1.0)))
            chosen.append(candidates[best])
        open_[best] = False
        column = covariance(kernel, scaled[best : best + 1], scaled)[0] - known[:, best] @ known
        deviation = np.sqrt(variance[best] + error)
        root = column / deviation
        coupled -= np.outer(coupled[:, best] / deviation, root)
        variance = np.maximum(variance - root**2, 0.0)
        known = np.vstack([known, root])
    return chosen


def _due(kinds: npt.NDArray[np.str_], open_: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which candidates may be next: those of a kind that was chosen too rarely, or all."""
    taken = kinds[~open_]
    for kind in np.unique(kinds[open_]):
        if (taken == kind).sum() < _LEAST_SHARE * len(taken):
            return np.asarray(kinds == kind)
    return np.ones(len(kinds), dtype=bool)


def _edges(
    kinds: npt.NDArray[np.str_], sizes: Floats, open_: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return which candidates are the smallest or largest of their kind where none such was chosen.

    Args:
        kinds: Of the candidates.
        sizes: Their features that say how large they are, `(candidates, features)`.
        open_: Which were not chosen.
    """
    edge = np.zeros(len(kinds), dtype=bool)
    for kind in np.unique(kinds):
        inside = kinds == kind
        taken = sizes[inside & ~open_]
        for column, values in enumerate(sizes.T):
            low, high = values[inside].min(), values[inside].max()
            if not len(taken) or taken[:, column].min() > low + SLACK:
                edge |= inside & (values == low)
            if not len(taken) or taken[:, column].max() < high - SLACK:
                edge |= inside & (values == high)
    return edge


def _default_costs(units: Sequence[Unit]) -> Floats:
    return np.array([unit.macs + _FIXED_MACS for unit in units], dtype=np.float64)
