"""What the rows of a plan's table follow from: times of programs, each with its weight."""

from collections.abc import Collection
from typing import Final, Literal, NamedTuple

from repvit_nas.latency_lut.plan import Plan
from repvit_nas.programs import isolated, network, recipe
from repvit_nas.units import Block, Ffn, Network, Unit

# Different lengths of chains that give a slope.
_LEAST_LENGTHS: Final = 2

Role = Literal["calibration", "held_out"]
# Keys of programs, each with the weight of its time.
Terms = tuple[tuple[str, float], ...]


class UnitTerms(NamedTuple):
    """What a unit's cost follows from; `calls` of a call's overhead are left in it."""

    unit: Unit
    terms: Terms
    calls: float = 0.0


class NetworkTerms(NamedTuple):
    """What a network's latency follows from: its own time."""

    role: Role
    architecture: Network
    terms: Terms


class PlanTerms(NamedTuple):
    """What the rows of a plan's table follow from, as far as their programs were timed.

    Attributes:
        sentinel: The key of the sentinel's program.
        groups: What kind of program each of the plan's is, by key.
        units: Of units in the middle of a network.
        networks: Of whole networks.
        isolated: Of lone units.
    """

    sentinel: str
    groups: dict[str, str]
    units: list[UnitTerms]
    networks: list[NetworkTerms]
    isolated: list[UnitTerms]


def plan_terms(plan: Plan, timed: Collection[str]) -> PlanTerms:
    """Return what the rows of a plan's table follow from.

    A unit of which not all chains were timed is the slope over the others, as long as two are left.

    Args:
        plan: The plan.
        timed: Keys of the programs that were timed.
    """
    lone = [UnitTerms(unit, ((isolated(unit).key, 1.0),)) for unit in plan.isolated_units()]
    roles: tuple[tuple[Role, tuple[Network, ...]], ...] = (
        ("calibration", plan.calibration),
        ("held_out", plan.held_out),
    )
    networks = [
        NetworkTerms(role, each, ((network(each).key, 1.0),))
        for role, architectures in roles
        for each in architectures
    ]
    groups: dict[str, str] = {}
    units = []
    for unit in plan.units:
        how = recipe(unit, plan.lengths)
        groups |= {
            item.key: f"{sum(times for _, times in item.units)} units" for item, _ in how.terms
        }
        if isinstance(unit, Block | Ffn):  # others stand between neighbours
            chains = zip(plan.lengths, how.terms, strict=True)
            there = [length for length, (item, _) in chains if item.key in timed]
            if len(there) >= _LEAST_LENGTHS:
                how = recipe(unit, there)
        terms = tuple((item.key, weight) for item, weight in how.terms)
        units.append(UnitTerms(unit, terms, how.calls))
    groups |= {key: "isolated" for row in lone for key, _ in row.terms}
    groups |= {key: "network" for row in networks for key, _ in row.terms}
    return PlanTerms(
        network(plan.sentinel).key,
        groups,
        [row for row in units if _known(row.terms, timed)],
        [row for row in networks if _known(row.terms, timed)],
        [row for row in lone if _known(row.terms, timed)],
    )


def _known(terms: Terms, timed: Collection[str]) -> bool:
    return all(key in timed for key, _ in terms)
