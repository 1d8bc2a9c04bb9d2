"""`predict`: what networks cost on devices."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import msgspec

from repvit_nas.api.loading import devices_in, network_of, networks_in, predictor_of, title_of
from repvit_nas.api.shown import Shown, ShownRows, bars_with_intervals
from repvit_nas.architecture import OutputKind
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import WrongTypeError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.named import Named
from repvit_nas.networks import summary
from repvit_nas.operations import HALF, checked_bits
from repvit_nas.predictors.lookup import Outside, Source
from repvit_nas.predictors.predictor import CALIBRATED
from repvit_nas.units import Network

if TYPE_CHECKING:
    from repvit_nas.report.tables import Grid


class Latency(Shown, msgspec.Struct, frozen=True):
    """A network's latency on a device.

    Attributes:
        architecture: The network.
        latency_ms: Milliseconds for one image.
        low_ms: Lower end of the interval.
        high_ms: Upper end of the interval.
        interval: The interval's confidence.
        device: On which device.
        source: Whether it is measured, interpolated or modelled.
        found: Which copy of the predictor said so.
        weights: Bits of a stored weight: 16, or fewer, of which the latency is modelled.
    """

    architecture: Network
    latency_ms: float
    low_ms: float
    high_ms: float
    interval: float
    device: str
    source: Source
    found: str
    weights: int = HALF

    @property
    def title(self) -> str:
        """What the network is called, and that its weights have fewer bits."""
        return title_of(self.architecture) + _fewer(self.weights)

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.title} on {self.device}: {self.latency_ms:.3f} ms "
            f"({self.interval:.0%} interval {self.low_ms:.3f} to {self.high_ms:.3f}), {self.source}"
        )

    def document(self) -> dict[str, Any]:
        """Return the latency as plain values under the names that JSON uses."""
        return {
            "architecture": self.architecture.name or summary(self.architecture),
            "resolution": self.architecture.resolution,
            "output": self.architecture.output,
            "latency_ms": self.latency_ms,
            "low_ms": self.low_ms,
            "high_ms": self.high_ms,
            "interval": self.interval,
            "device": self.device,
            "source": self.source,
            "predictor": self.found,
            "weights": self.weights,
        }

    def grid(self) -> "Grid":
        """Return the table that is shown."""
        return Latencies((self,)).grid()

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame."""
        return Latencies((self,)).columns()

    def plot(self, axes: Any = None) -> Any:
        """Draw the latency with its interval into matplotlib's `axes`, or new ones; return them."""
        return Latencies((self,)).plot(axes)


class Latencies(ShownRows[Latency], msgspec.Struct, frozen=True):
    """The latencies of networks on devices, network by network; `latencies[0]` is the first."""

    rows: tuple[Latency, ...]

    def __getitem__(self, index: int) -> Latency:
        """Return one latency."""
        return self.rows[index]

    def __str__(self) -> str:
        """Say each in a line."""
        return "\n".join(map(str, self.rows))

    def grid(self) -> "Grid":
        """Return the table that is shown."""
        interval = f"ms ({self.rows[0].interval:.0%} interval)" if self.rows else "ms"
        cells = [
            (
                row.title,
                row.device,
                f"{row.latency_ms:.3f} ({row.low_ms:.3f}-{row.high_ms:.3f})",
                row.source,
            )
            for row in self.rows
        ]
        header = ("network", "device", interval, "source")
        from repvit_nas.report.tables import Grid

        return Grid.of("Latency", header, cells, left=("device", "source"), drop={"source": 1})

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the columns of the frame: network, device, milliseconds and where they are from."""
        return {
            "network": [row.architecture.name for row in self.rows],
            "resolution": [row.architecture.resolution for row in self.rows],
            "output": [row.architecture.output for row in self.rows],
            "device": [row.device for row in self.rows],
            "latency_ms": [row.latency_ms for row in self.rows],
            "low_ms": [row.low_ms for row in self.rows],
            "high_ms": [row.high_ms for row in self.rows],
            "interval": [row.interval for row in self.rows],
            "source": [row.source for row in self.rows],
            "found": [row.found for row in self.rows],
            "weights": [row.weights for row in self.rows],
        }

    def plot(self, axes: Any = None) -> Any:
        """Draw each latency with its interval into matplotlib's `axes`, or new ones; return them."""
        names = [f"{row.title} on {row.device}" for row in self.rows]
        ends = [(row.low_ms, row.high_ms) for row in self.rows]
        drawn = bars_with_intervals(axes, names, [row.latency_ms for row in self.rows], ends)
        drawn.set_xlabel("latency, ms")
        return drawn


@overload
def predict(  # type: ignore[overload-overlap]  # a text is a sequence of texts
    arch: Named,
    device: str = ...,
    *,
    resolution: int | None = ...,
    output: OutputKind | None = ...,
    interval: float = ...,
    weights: int = ...,
    foreign: bool = ...,
    outside: Outside = ...,
) -> Latency: ...


@overload
def predict(
    arch: Named | Sequence[Named],
    device: str | Sequence[str] = ...,
    *,
    resolution: int | None = ...,
    output: OutputKind | None = ...,
    interval: float = ...,
    weights: int = ...,
    foreign: bool = ...,
    outside: Outside = ...,
) -> Latencies: ...


def predict(
    arch: Named | Sequence[Named],
    device: str | Sequence[str] = DEFAULT_DEVICE,
    *,
    resolution: int | None = None,
    output: OutputKind | None = None,
    interval: float = CALIBRATED,
    weights: int = HALF,
    foreign: bool = False,
    outside: Outside = "flag",
) -> Latency | Latencies:
    """Predict what a network costs on a device, with its interval.

    A device is loaded once, and again when its files change; from then on a prediction takes tens of
    microseconds.

    Args:
        arch: A reference name (`repvit_m0_9`), an architecture file, a winner of a run, a network of
            a front, an architecture, or a list of these.
        device: The name of a device, or a list of names.
        resolution: Side of the input in pixels; None takes the network's own.
        output: What the network hands back, `logits`, `features`, `sam` or `sam-fused`; None takes the
            network's own.
        interval: The interval's confidence, above 0 and below 1.
        weights: Bits of a stored weight, 16, 8, 6 or 4, on a device of Core ML. With fewer than 16 the
            latency is modelled by the bytes that are streamed, as if weights were expanded on the fly, which
            iOS 16 does not; its interval reaches up to that of 16 bits.
        foreign: Accept a processor's table that was measured on another machine.
        outside: Units outside the measured range: `flag` prices them and calls the latency modelled,
            `clip` takes the nearest, `raise` refuses.

    Returns:
        The latency in milliseconds; where a list is given, all of them, network by network.

    Raises:
        WrongTypeError: An argument is of a type that has no meaning here.
        UnknownNameError: There is no such device; the message suggests the nearest.
        RepvitNasError: There is no such network, or the device cannot be predicted for.
    """
    networks, devices, bits = networks_in(arch), devices_in(device), checked_bits(weights)
    rows = tuple(
        _predict(
            network_of(one, resolution, output),
            where,
            interval,
            bits,
            foreign=foreign,
            outside=outside,
        )
        for one in networks
        for where in devices
    )
    alone = isinstance(device, str) and isinstance(arch, Named)
    return rows[0] if alone else Latencies(rows)


def _predict(
    architecture: Network,
    device: str,
    interval: float,
    bits: int,
    *,
    foreign: bool,
    outside: Outside,
) -> Latency:
    if not isinstance(interval, float | int):
        raise WrongTypeError.of("interval", "a number between 0 and 1", interval)
    predictor, found = predictor_of(device, foreign=foreign, outside=outside)
    if bits != HALF:
        load_device(device).refuse_other_than_core_ml("--weights")
    return Latency(
        architecture, *predictor.estimate(architecture, interval, bits=bits), found, bits
    )


def _fewer(bits: int) -> str:
    return "" if bits == HALF else f", {bits}-bit weights"
