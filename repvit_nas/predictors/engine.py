"""What is known of an accelerator, and the forms of cost that this leaves open.

A chip's clock and its memory set four rates: multiply-accumulates, weights streamed, maps moved on
the chip, and maps that do not fit it. How much of each is reached is known from elsewhere, with a
deviation; what is not known at all is a choice. A form is one draw of the rates with one of each
choice, and the ensemble weighs hundreds of them.
"""

import itertools
import math
from statistics import NormalDist
from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from repvit_nas.predictors.physical import CostColumn, CostForm, Overlap, Spill
from repvit_nas.quantities import Deviation, Duration, Factor

# Draws of the rates for each combination of choices.
DRAWS: Final = 32
# Deviation of the logarithm of a rate that nothing is taken for granted of.
FREE: Final = 0.5

# The overhead of a call, or what a column's coefficient multiplies.
Term = Literal["overhead"] | CostColumn


class Reached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a nominal rate is reached.

    Attributes:
        share: Expected, of the nominal rate.
        deviation: Standard deviation of its logarithm.
        source: From where that is known.
    """

    share: Factor
    deviation: Deviation
    source: str


class RatePrior(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a coefficient is expected to be.

    Attributes:
        nominal: Milliseconds a call, a pooling, an operation or a megabyte; for convolutions a factor.
        deviation: Its standard deviation.
        source: From where that is known.
    """

    nominal: Duration
    deviation: Deviation
    source: str


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An accelerator's limits.

    Attributes:
        clock_ghz: Its clock.
        macs_per_cycle: Multiply-accumulates a cycle at most.
        bytes_per_cycle: Bytes of maps a cycle, read as well as written.
        memory_gbps: Main memory, gigabytes a second.
        chip_mb: What of an operation's input plus output is kept on chip.
        compute: Reached of the multiply-accumulates.
        weights: Reached of main memory where weights are streamed.
        maps: Reached of the bytes a cycle.
        spilled: Speed of maps that do not fit the chip, of main memory's; above 1 where a cache
            holds them.
        depthwise: What depthwise convolutions may reach of `compute`.
        overlap: What may hide what, see :class:`CostForm`.
        spill: What may go off the chip where a map does not fit.
        source: From where the limits are known.
        expected: What coefficients are expected to be.
        transferred_from: A device whose fit, moved to this engine, is compared with what is known of
            this one.
    """

    clock_ghz: Factor
    macs_per_cycle: Factor
    bytes_per_cycle: Factor
    memory_gbps: Factor
    chip_mb: Factor
    compute: Reached
    weights: Reached
    maps: Reached
    spilled: Reached
    depthwise: Annotated[tuple[Factor, ...], msgspec.Meta(min_length=1)]
    overlap: Annotated[tuple[Overlap, ...], msgspec.Meta(min_length=1)]
    spill: Annotated[tuple[Spill, ...], msgspec.Meta(min_length=1)]
    source: str
    expected: dict[Term, RatePrior] = {}
    transferred_from: str = ""

    @property
    def peak_tmacs(self) -> float:
        """Multiply-accumulates a second, in millions of millions."""
        return self.macs_per_cycle * self.clock_ghz / 1e3

    @property
    def peak_gbps(self) -> float:
        """Maps moved on the chip, gigabytes a second in each direction."""
        return self.bytes_per_cycle * self.clock_ghz

    def forms(self, seed: int = 0) -> list[CostForm]:
        """Draw the forms that the ensemble weighs.

        The draws of each combination of choices are a Latin hypercube: every rate takes each of as
        many equally likely values once.
        """
        rng = np.random.default_rng(seed)
        strata = [NormalDist().inv_cdf((draw + 0.5) / DRAWS) for draw in range(DRAWS)]
        nominal = (
            (self.peak_tmacs, self.compute),
            (self.memory_gbps, self.weights),
            (self.peak_gbps, self.maps),
            (self.memory_gbps, self.spilled),
        )
        found = []
        for overlap, spill, depthwise in itertools.product(
            self.overlap, self.spill, self.depthwise
        ):
            drawn = [
                rate * reached.share * np.exp(reached.deviation * rng.permutation(strata))
                for rate, reached in nominal
            ]
            for rates in np.stack(drawn, axis=1):
                tmacs, weights, maps, spilled = (float(f"{rate:.4g}") for rate in rates)
                found.append(
                    CostForm(
                        overlap=overlap,
                        tmacs=tmacs,
                        memory_gbps=weights,
                        chip_gbps=maps,
                        chip_mb=self.chip_mb,
                        spill=spill,
                        row=1,
                        depthwise=depthwise,
                        ports=2,
                        limit="operation",
                        spill_gbps=spilled,
                    )
                )
        return found

    def freed(self) -> "Engine":
        """Return the engine with next to nothing taken for granted of rates and coefficients."""
        rates = {
            name: msgspec.structs.replace(getattr(self, name), deviation=FREE)
            for name in ("compute", "weights", "maps", "spilled")
        }
        return msgspec.structs.replace(self, expected={}, **rates)

    def elsewhere(self, offset: float) -> "Engine":
        """Return the engine where what coefficients are known from may be off by a share `offset`."""
        expected = {
            name: msgspec.structs.replace(
                prior, deviation=math.hypot(prior.deviation, offset * prior.nominal)
            )
            for name, prior in self.expected.items()
        }
        return msgspec.structs.replace(self, expected=expected)

    def moved(self, form: CostForm, origin: "Engine") -> CostForm:
        """Return a form of another engine with this one's clock, memory and chip.

        How much of each rate is reached stays as it is.
        """
        memory = self.memory_gbps / origin.memory_gbps
        spilled = form.spill_gbps or form.memory_gbps
        return msgspec.structs.replace(
            form,
            tmacs=form.tmacs * self.peak_tmacs / origin.peak_tmacs,
            memory_gbps=form.memory_gbps * memory,
            chip_gbps=form.chip_gbps * self.peak_gbps / origin.peak_gbps,
            chip_mb=self.chip_mb,
            spill=form.spill if form.spill in self.spill else self.spill[0],
            spill_gbps=spilled * memory,
        )
