"""A fitted latency predictor: what a network costs on a device, and how sure that is."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from repvit_nas import data, files
from repvit_nas.errors import RepvitNasError
from repvit_nas.latency_lut.device import load_device
from repvit_nas.operations import HALF
from repvit_nas.predictors.lookup import (
    ARRAYS_FILE,
    SOURCES,
    MeasuredPart,
    Outside,
    Source,
    TimedCosts,
    read_arrays,
)
from repvit_nas.predictors.physical import LARGE_RESOLUTION, CostColumn, Member, member_costs
from repvit_nas.predictors.predictor_file import (
    PREDICTOR_FILE,
    FittedOn,
    Model,
    PredictorFile,
    read_predictor_file,
)
from repvit_nas.quantities import MOST_MS
from repvit_nas.shapes import Floats
from repvit_nas.units import Network, Unit, count, rows

# The confidence that intervals are calibrated at; others are scaled as a normal distribution is.
CALIBRATED: Final = 0.9
# Nothing is known this far out.
HIGHEST_CONFIDENCE: Final = 0.9999
# What each member of an ensemble says of units, `(units, members)`.
Pricer = Callable[[Sequence[Unit]], Floats]


class LatencyEstimate(NamedTuple):
    """A network's latency on a device.

    Attributes:
        latency_ms: The estimate.
        low_ms: Lower end of the interval.
        high_ms: Upper end of the interval.
        interval: The interval's confidence.
        device: On which device.
        source: Whether it is measured, interpolated or modelled.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    interval: float
    device: str
    source: Source


def misfit_at(misfit: float, large: float, resolution: int) -> float:
    """Return the relative standard deviation of one network at a resolution."""
    return math.hypot(misfit, large if resolution > LARGE_RESOLUTION else 0.0)


class Costs:
    """What each member of an ensemble says of units, and of networks of them.

    Unit costs are cached, so a second network of the same widths costs microseconds.

    Args:
        members: The ensemble.
        columns: What its coefficients multiply.
        learned: What was measured of single units; None where none was.
        outside: What to do with a unit outside the measured range, see :class:`Predictor`.
        physical: What members say of units where no unit was measured, if not their coefficients.
    """

    def __init__(
        self,
        members: Sequence[Member],
        columns: Sequence[CostColumn],
        learned: TimedCosts | None = None,
        outside: Outside = "flag",
        physical: Pricer | None = None,
    ) -> None:
        self._learned = learned
        self._outside: Outside = outside
        self._physical = physical or functools.partial(member_costs, members, columns=columns)
        scale = learned.part.scale if learned else 1.0
        self.overheads_ms = scale * np.array([member.overhead_ms for member in members])
        self._costs: dict[Unit, Floats] = {}

    def of(self, units: Sequence[Unit]) -> Floats:
        """Return what each member says of each unit, `(units, members)` in milliseconds.

        Raises:
            UnknownUnitError: A unit is outside the measured range, which the policy forbids.
            RepvitNasError: A cost is below 0, or no number.
        """
        # A file's numbers are bounded one by one; their product may still be none.
        with np.errstate(over="ignore", invalid="ignore"):
            costs = self._physical(units)
            if self._learned:
                costs = self._learned.refine(units, costs, self._outside)
        senseless = ~((costs >= 0) & (costs <= MOST_MS)).all(axis=1)  # no number is neither
        if senseless.any():
            raise RepvitNasError(
                f"the predictor takes {units[int(senseless.argmax())]} to cost no number of "
                "milliseconds: its file is damaged; fit the device again"
            )
        return costs

    def totals(self, counted: Mapping[Unit, int]) -> Floats:
        """Return what each member says of a network of `counted` units, `(members,)` in ms."""
        costs = self._costs
        missing = [unit for unit in counted if unit not in costs]
        if missing:
            costs.update(zip(missing, self.of(missing), strict=True))
        times = np.fromiter(counted.values(), dtype=np.float64)
        return np.asarray(times @ np.array([costs[unit] for unit in counted]) + self.overheads_ms)


class Predictor:
    """Prices networks on one device from a fitted ensemble.

    Args:
        model: The fitted ensemble.
        learned: What was measured of single units; None for a modelled device.
        outside: What to do with a unit outside the measured range: `flag` prices it and calls it
            modelled, `clip` corrects it as the nearest unit inside, `raise` refuses.
        physical: What members say of units before anything was measured, if not their coefficients.
    """

    def __init__(
        self,
        model: Model,
        learned: TimedCosts | None = None,
        outside: Outside = "flag",
        physical: Pricer | None = None,
    ) -> None:
        self.model = model
        self.members = [
            Member(member.form, member.overhead_ms, np.array(member.coefficients))
            for member in model.members
        ]
        self._learned = learned
        # A modelled device of which a few units were timed is still priced as one.
        modelled = learned is not None and model.source == "modelled" and not learned.part.ranges
        self._costs = Costs(
            self.members, model.columns, learned, "flag" if modelled else outside, physical
        )
        self._sources: dict[Unit, Source] = {}

    @property
    def device(self) -> str:
        """The device's name."""
        return self.model.device

    @property
    def measured(self) -> MeasuredPart | None:
        """What was measured of single units."""
        return self._learned.part if self._learned else None

    @property
    def overheads_ms(self) -> Floats:
        """What each member says a call costs before any unit runs, `(members,)`."""
        return self._costs.overheads_ms

    def unit_costs(self, units: Sequence[Unit]) -> Floats:
        """Return what each member says of each unit, see :meth:`Costs.of`."""
        return self._costs.of(units)

    def totals(self, counted: Mapping[Unit, int]) -> Floats:
        """Return what each member says of a network, see :meth:`Costs.totals`."""
        return self._costs.totals(counted)

    def file(self, fitted_on: FittedOn) -> PredictorFile:
        """Return the predictor as it is written."""
        model = msgspec.structs.asdict(self.model)
        return PredictorFile(**model, fitted_on=fitted_on, measured=self.measured)

    def source(self, units: Iterable[Unit]) -> Source:
        """Say where the latency of a network of `units` comes from: the weakest of its units'."""
        if self._learned is None:
            return self.model.source
        found = set()
        for unit in units:
            if unit not in self._sources:
                self._sources[unit] = self._learned.source(unit)
            found.add(self._sources[unit])
        return max(found, key=SOURCES.index, default=self.model.source)

    def estimate(
        self, architecture: Network, interval: float = CALIBRATED, *, bits: int = HALF
    ) -> LatencyEstimate:
        """Predict the latency of `architecture` for one image.

        With weights of fewer bits it is modelled, by the bytes of them: each member's cost of a unit
        changes as it would if only the bytes that it streams did. iOS 16 expands weights before a model
        runs, later systems some of them on the fly (coremltools' guide), and nobody has published what
        this chip gains: so the interval reaches up to that of half precision.

        Args:
            architecture: The network.
            interval: Confidence of the interval to state, between 0 and 1.
            bits: How many a stored weight has.
        """
        counted = count(rows(architecture))
        resolution = architecture.resolution
        half = self._stated(self.totals(counted), resolution, interval, self.source(counted))
        if bits == HALF:
            return half
        fewer = self._stated(self._streamed(counted, bits), resolution, interval, "modelled")
        return fewer._replace(high_ms=half.high_ms)

    def _streamed(self, counted: Mapping[Unit, int], bits: int) -> Floats:
        """Return what each member says of a network whose weights have fewer bits, `(members,)`."""
        units, times = list(counted), np.fromiter(counted.values(), dtype=np.float64)
        members, columns = self.members, self.model.columns
        with np.errstate(invalid="ignore"):
            ratio = member_costs(members, units, columns, bits) / member_costs(
                members, units, columns
            )
        costs = self.unit_costs(units) * np.nan_to_num(ratio, nan=1.0)
        return np.asarray(times @ costs + self.overheads_ms)

    def _stated(
        self, totals: Floats, resolution: int, interval: float, source: Source
    ) -> LatencyEstimate:
        """Return what members say of a network, `(members,)`, as a latency with its interval."""
        mean = float(totals.mean())
        spread = self.half_width(mean, float(totals.var()), resolution, interval=interval)
        low = max(0.0, mean - spread)
        return LatencyEstimate(mean, low, mean + spread, interval, self.device, source)

    def half_width(
        self, mean_ms: float, variance: float, resolution: int, *, interval: float = CALIBRATED
    ) -> float:
        """Return half the width of the interval around a mean with the ensemble's variance."""
        misfit_ms = self.misfit(resolution) * mean_ms
        return self.multiplier(interval) * math.sqrt(variance + misfit_ms**2)

    def misfit(self, resolution: int) -> float:
        """Return the relative standard deviation of one network around the model."""
        return misfit_at(self.model.misfit, self.model.large_misfit, resolution)

    def multiplier(self, interval: float) -> float:
        """Return how many standard deviations the interval reaches to either side.

        Raises:
            RepvitNasError: The confidence is not between 0 and 1.
        """
        check_confidence(interval)
        return self.model.quantile * _ratio(interval)


def check_confidence(interval: float) -> None:
    """Refuse a confidence that no interval can have.

    Raises:
        RepvitNasError: It is not between 0 and 1, or so near to 1 that nothing is known there.
    """
    if not 0.0 < interval <= HIGHEST_CONFIDENCE:
        raise RepvitNasError(
            f"the confidence must be above 0 and at most {HIGHEST_CONFIDENCE}; got {interval}"
        )


@functools.lru_cache(maxsize=64)
def _ratio(interval: float) -> float:
    """Return how many times as wide as the calibrated interval a normal distribution's is."""
    if interval == CALIBRATED:
        return 1.0
    from statistics import NormalDist  # which takes its time to import

    normal = NormalDist()
    return normal.inv_cdf((1 + interval) / 2) / normal.inv_cdf((1 + CALIBRATED) / 2)


def read_predictor(path: Path, outside: Outside = "flag") -> Predictor:
    """Read a predictor file, and the arrays beside it if it has a measured part."""
    _, predictor = files.settled(path.parent, lambda: _with_arrays(path, "", outside))
    return predictor


def _with_arrays(path: Path, device: str, outside: Outside) -> tuple[PredictorFile, Predictor]:
    """Return the content of a device's file and its predictor, with the arrays beside it if it has some."""
    file = read_predictor_file(path, device)
    if file.measured is None:
        return file, Predictor(file)
    arrays = path.parent / ARRAYS_FILE
    content = files.read_bytes(arrays)
    learned = read_arrays(arrays, content, file.measured, len(file.members))
    return file, Predictor(file, learned, outside)


def load_predictor(
    device: str, *, foreign: bool = False, outside: Outside = "flag"
) -> tuple[Predictor, data.Found]:
    """Load the fitted predictor of a device, and say where it was found.

    Args:
        device: The device's name.
        foreign: Accept a processor's table that was measured on another processor than this one.
        outside: What to do with units outside the measured range, see :class:`Predictor`.

    Raises:
        UnknownNameError: There is no such device.
        RepvitNasError: The device has no fitted predictor yet, or one of other figures than it has
            now, or is another machine's processor.
    """
    loaded = load_device(device)
    if not foreign:
        loaded.refuse_foreign()
    found = data.listed("predictors").get(device)
    if found is None or not (found.path / PREDICTOR_FILE).is_file():
        raise RepvitNasError(
            f"device {device!r} has no fitted predictor: run repvit-nas fit --device {device}"
        )
    path = found.path / PREDICTOR_FILE
    file, predictor = files.settled(path.parent, lambda: _with_arrays(path, device, outside))
    if loaded.digest() != file.fitted_on.digest:
        # What was published and what was timed are fitted at once: there is no session to finish.
        finish = "finish measure-lut, or " if loaded.file.kind == "measured" else ""
        raise RepvitNasError(
            f"{path}: was not fitted to the figures in {loaded.folder}: "
            f"{finish}run repvit-nas fit --device {device}"
        )
    return predictor, found


def said(predictor: Predictor, found: object) -> str:
    """Say whose latencies are used, and which copy of them.

    Args:
        predictor: The predictor.
        found: Where it was found, see :func:`load_predictor`.
    """
    return f"predictor: {predictor.device}, {predictor.model.source}, from {found}"
