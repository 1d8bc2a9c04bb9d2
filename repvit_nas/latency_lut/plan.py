"""What a measuring session times: `latency_lut/<device>/plan.json`, and the programs it makes."""

from typing import Final, Literal

import msgspec

from repvit_nas.architecture import Architecture
from repvit_nas.programs import CHAIN_LENGTHS, Program, isolated, network, recipe
from repvit_nas.units import Unit, rows

PLAN_FILE: Final = "plan.json"
# Lone units are a baseline only; they are timed in the first rounds and then no more.
ISOLATED_ROUNDS: Final = 2
# In the first round only the first units are timed; where to time more is decided after it.
EXPLORING_ROUNDS: Final = 1
# Fewer units than this do not show where to go on.
FEWEST_EXPLORED: Final = 20

# What a user chooses of a plan, and by which options; all else follows from that and from what was
# timed.
_OPTIONS: Final = {
    "seed": "--seed",
    "resolution": "--resolution",
    "wanted": "--units",
    "calibration": "--calibration or --space",
    "held_out": "--networks or --space",
    "isolated": "--isolated",
}


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `plan.json` (schema 1).

    Attributes:
        seed: Of the networks drawn, the choice of units and the order of visits.
        resolution: Input side in pixels.
        lengths: Copies in the chains.
        sentinel: The network that is timed several times in every round.
        calibration: Networks whose latency the fit may see.
        held_out: Networks that no fit ever sees.
        isolated: Whether the units of the held-out networks are also timed alone.
        wanted: How many units to time in all.
        explored: Whether all units have been chosen.
        units: The units to time, in the order in which they were chosen.
    """

    schema: Literal[1] = 1
    seed: int
    resolution: int
    lengths: tuple[int, ...] = CHAIN_LENGTHS
    sentinel: Architecture
    calibration: tuple[Architecture, ...]
    held_out: tuple[Architecture, ...]
    isolated: bool
    wanted: int
    explored: bool = False
    units: tuple[Unit, ...]

    def __post_init__(self) -> None:
        """Check that the chains determine a slope, and that no unit is there twice."""
        if len(set(self.units)) < len(self.units):
            raise ValueError("units must list different units; got one of them twice")
        if len(set(self.lengths)) < 2 or min(self.lengths) < 1:
            raise ValueError(
                f"lengths must hold two different numbers from 1 on; got {self.lengths}"
            )

    def other_option(self, other: "Plan") -> str:
        """Return the first option by which two plans differ; empty if they were made alike."""
        return next(
            (
                option
                for name, option in _OPTIONS.items()
                if getattr(self, name) != getattr(other, name)
            ),
            "",
        )

    @property
    def networks(self) -> tuple[Architecture, ...]:
        """All networks that are timed whole."""
        return (*self.calibration, *self.held_out)

    def isolated_units(self) -> list[Unit]:
        """List the units of the held-out networks, each once, if they are timed alone."""
        if not self.isolated:
            return []
        return list(dict.fromkeys(unit for net in self.held_out for unit in rows(net)))


def programs(plan: Plan, number: int) -> dict[str, Program]:
    """Return what round `number` times, by key, the sentinel left out."""
    units = plan.units[: exploring(plan.wanted)] if number < EXPLORING_ROUNDS else plan.units
    wanted: list[Program] = []
    for unit in units:
        wanted += [item for item, _ in recipe(unit, plan.lengths).terms]
    wanted += [network(architecture) for architecture in plan.networks]
    if number < ISOLATED_ROUNDS:
        wanted += [isolated(unit) for unit in plan.isolated_units()]
    return {item.key: item for item in wanted}


def exploring(wanted: int) -> int:
    """Return how many of the units to time are chosen before anything is known."""
    return min(wanted, max(FEWEST_EXPLORED, wanted // 2))
