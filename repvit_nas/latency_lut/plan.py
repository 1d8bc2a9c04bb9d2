"""What a measuring session times: `latency_lut/<device>/plan.json`, and the programs it makes."""

import itertools
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from repvit_nas.architecture import LOGITS, Architecture, OutputKind
from repvit_nas.errors import RepvitNasError
from repvit_nas.networks import told
from repvit_nas.programs import CHAIN_LENGTHS, Program, isolated, network, recipe
from repvit_nas.quantities import Count, Seed, Several, Side
from repvit_nas.units import Network, Unit

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
    "output": "--output",
    "wanted": "--units",
    "calibration": "--calibration or --space",
    "held_out": "--networks or --space",
    "isolated": "--isolated",
}


class Former(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of a plan was asked for before it was extended; all lists grew at their ends since.

    Attributes:
        rounds: Rounds that were begun with no more than this; what came later is timed after them.
        wanted: How many units were to be timed in all.
        units: How many of the units had been chosen.
        calibration: How many networks the fit was to see.
        held_out: How many it was not.
    """

    rounds: Several
    wanted: Count
    units: Count
    calibration: Count
    held_out: Count


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
        former: How much was asked for before, where the plan was extended while it was carried out.
        units: The units to time, in the order in which they were chosen.
    """

    schema: Literal[1] = 1
    seed: Seed
    resolution: Side
    lengths: tuple[Several, ...] = CHAIN_LENGTHS
    sentinel: Architecture
    calibration: tuple[Architecture, ...]
    held_out: tuple[Network, ...]
    isolated: bool
    wanted: Count
    explored: bool = False
    former: tuple[Former, ...] = ()
    units: tuple[Unit, ...]

    def __post_init__(self) -> None:
        """Check that the chains determine a slope, that no unit is there twice, and that plans grow."""
        grown = [*self.former, self._asked(0)]
        for one, other in itertools.pairwise(grown):
            if not all(a <= b for a, b in zip(_counts(one), _counts(other), strict=True)):
                raise ValueError(f"former must grow up to the plan; got {one}")
        rounds = [former.rounds for former in self.former]
        if rounds != sorted(set(rounds)):
            raise ValueError(f"rounds of former must rise; got {rounds}")
        outputs = sorted({network.output for network in self.networks})
        if len(outputs) > 1:
            raise ValueError(f"networks must all hand back the same; got {', '.join(outputs)}")
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

    def _asked(self, rounds: int) -> Former:
        """Return how much is asked for now, as what it will have been after so many rounds."""
        return Former(
            rounds=rounds,
            wanted=self.wanted,
            units=len(self.units),
            calibration=len(self.calibration),
            held_out=len(self.held_out),
        )

    @property
    def since(self) -> int:
        """The round from which on all of the plan is timed."""
        return self.former[-1].rounds if self.former else 0

    def extended(self, wanted: "Plan", rounds: int) -> "Plan":
        """Return this plan with what another asks for beyond it; itself if that is nothing.

        What was timed stays what it was: no network changes its role, no unit its place.

        Args:
            wanted: What would be planned now, if nothing had been.
            rounds: Rounds that were begun.

        Raises:
            RepvitNasError: The other asks for less, or for other things.
        """
        for name in ("seed", "resolution", "output", "isolated", "lengths"):
            if getattr(self, name) != getattr(wanted, name):
                raise RepvitNasError(f"was made with another {_OPTIONS.get(name, name)}")
        for name, option, there, asked in (
            ("units", "--units", self.wanted, wanted.wanted),
            ("calibration", "--calibration", len(self.calibration), len(wanted.calibration)),
            ("networks", "--networks", len(self.held_out), len(wanted.held_out)),
        ):
            if asked < there:
                raise RepvitNasError(f"was made with more {name}: give at least {option} {there}")
        drawn = {told(network): network for network in wanted.networks}
        timed = {told(network) for network in self.networks}
        if not timed <= drawn.keys():
            raise RepvitNasError("was made with another --space")
        if wanted.wanted == self.wanted and len(drawn) == len(self.networks):
            return self
        new = [network for stages, network in drawn.items() if stages not in timed]
        more = len(wanted.calibration) - len(self.calibration)
        return msgspec.structs.replace(
            self,
            wanted=wanted.wanted,
            calibration=(*self.calibration, *new[:more]),
            held_out=(*self.held_out, *new[more:]),
            explored=self.explored and wanted.wanted == self.wanted,
            former=(*self.former, self._asked(rounds)) if rounds > self.since else self.former,
        )

    def at(self, number: int) -> tuple["Plan", int]:
        """Return the plan as it was in a round, and from which round on it was so."""
        since = 0
        for former in self.former:
            if number < former.rounds:
                return msgspec.structs.replace(
                    self,
                    wanted=former.wanted,
                    units=self.units[: former.units],
                    calibration=self.calibration[: former.calibration],
                    held_out=self.held_out[: former.held_out],
                    former=(),
                ), since
            since = former.rounds
        return self, since

    @property
    def networks(self) -> tuple[Network, ...]:
        """All networks that are timed whole."""
        return (*self.calibration, *self.held_out)

    @property
    def output(self) -> OutputKind:
        """What the networks hand back."""
        return self.networks[0].output if self.networks else LOGITS

    def isolated_units(self) -> list[Unit]:
        """List the units of the held-out networks, each once, if they are timed alone."""
        if not self.isolated:
            return []
        whole = map(network, self.held_out)
        return list(dict.fromkeys(unit for each in whole for unit, _ in each.units))


def parts_of(plan: Plan) -> frozenset[str]:
    """Return the keys of the programs that stand for a unit among others."""
    return frozenset(item.key for item in _parts(plan, plan.units))


def _parts(plan: Plan, units: Sequence[Unit]) -> list[Program]:
    """List the programs that units' costs follow from, some more than once."""
    return [item for unit in units for item, _ in recipe(unit, plan.lengths).terms]


def programs(plan: Plan, number: int) -> dict[str, Program]:
    """Return what round `number` times, by key, the sentinel left out."""
    whole, (plan, since) = plan, plan.at(number)
    units = plan.units[: exploring(plan.wanted)] if number < EXPLORING_ROUNDS else plan.units
    wanted = _parts(plan, units)
    wanted += [network(architecture) for architecture in plan.networks]
    if number - since < ISOLATED_ROUNDS:
        before = whole.at(since - 1)[0].isolated_units() if since else []
        wanted += [isolated(unit) for unit in plan.isolated_units() if unit not in before]
    return {item.key: item for item in wanted}


def _counts(asked: Former) -> tuple[int, ...]:
    return (asked.wanted, asked.units, asked.calibration, asked.held_out)


def exploring(wanted: int) -> int:
    """Return how many of the units to time are chosen before anything is known."""
    return min(wanted, max(FEWEST_EXPLORED, wanted // 2))
