"""The one record of every latency: a bag of counted units, a time, and its circumstances.

    latency(network) = overhead + sum over its units of cost(unit)

A chain of equal blocks, a whole network timed here, and a number printed in a paper are all this.
"""

import msgspec

from repvit_nas.units import Unit


class Observation(msgspec.Struct, frozen=True):
    """One latency.

    Attributes:
        name: What was timed.
        network: Observations of one network, or of variants of it, share this name.
        family: The family that the network belongs to.
        resolution: Input side in pixels.
        units: Each unit with how often it occurs.
        latency_ms: Milliseconds for one image.
        error_ms: Standard deviation of the figure itself (rounding, repetition).
        tool: How it was timed.
        source: Who timed it.
        calls: How many calls' overhead the figure includes: 1 for a whole network, 0 for the
            slope of a chain.
    """

    name: str
    network: str
    family: str
    resolution: int
    units: tuple[tuple[Unit, int], ...]
    latency_ms: float
    error_ms: float
    tool: str
    source: str
    calls: float = 1.0
