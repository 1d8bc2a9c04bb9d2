"""How far off a predictor is: the record of `predictors/<device>/validation.json`.

Its field `kind` says which of the three it is: a modelled device is cross-validated on what was published
of it, a measured one is compared with networks that were held out, and of one that is like another each
network is left out in turn.
"""

from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec

from repvit_nas import files
from repvit_nas.architecture import LOGITS, OutputKind
from repvit_nas.latency_lut.device import check_device
from repvit_nas.predictors.lookup import Source
from repvit_nas.predictors.metrics import PREDICTOR, PredictionErrors
from repvit_nas.quantities import (
    Count,
    Deviation,
    Duration,
    Factor,
    Milliseconds,
    Percent,
    Side,
    Signed,
    SignedMilliseconds,
    check_interval,
)
from repvit_nas.units import Unit

VALIDATION_FILE: Final = "validation.json"
TARGET_FAMILY: Final = "repvit"
# The group of every row.
ALL: Final = "all"


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One observation against three predictions of it, in milliseconds.

    Attributes:
        name: What was timed.
        family: Its family.
        resolution: Its input side in pixels.
        source: Who timed it.
        published_ms: What was published.
        in_sample_ms: Predicted by the fit to everything.
        without_network_ms: Predicted by a fit that never saw the network or a variant of it.
        without_family_ms: Predicted by a fit that never saw the network's family.
        without_lookalikes_ms: Predicted by a fit that never saw RepViT nor RepNeXt, whose networks
            have the same shapes; for other families as `without_family_ms`.
        low_ms: Lower end of the 90 % interval of `without_network_ms`, its multiplier calibrated
            without the network; wider by what its source may be off as a whole, where that is so.
        high_ms: Its upper end.
    """

    name: str
    family: str
    resolution: Side
    source: str
    published_ms: Milliseconds
    in_sample_ms: Milliseconds
    without_network_ms: Milliseconds
    without_family_ms: Milliseconds
    without_lookalikes_ms: Milliseconds
    low_ms: SignedMilliseconds
    high_ms: Milliseconds

    def __post_init__(self) -> None:
        """Check that the interval is one."""
        check_interval(self.low_ms, self.without_network_ms, self.high_ms, "without_network_ms")


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mean absolute errors in percent, and how often the 90 % interval held, of a group of checks."""

    networks: Count
    in_sample_percent: Deviation
    without_network_percent: Deviation
    without_family_percent: Deviation
    without_lookalikes_percent: Deviation
    coverage_percent: Percent


class Probed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A network that a fit never saw: published and predicted milliseconds, a 90 % interval.

    `after` names the network that it is a step from, if it is one.
    """

    name: str
    published_ms: Milliseconds
    predicted_ms: Milliseconds
    low_ms: SignedMilliseconds
    high_ms: Milliseconds
    after: str = ""


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Networks of one kind that a fit never saw.

    Attributes:
        title: What they are.
        error_percent: Mean absolute error.
        coverage_percent: How often the 90 % interval held.
        checks: The networks.
    """

    title: str
    error_percent: Deviation
    coverage_percent: Percent
    checks: tuple[Probed, ...]

    def steps(self) -> list[tuple[float, float]]:
        """List the published and the predicted differences, in milliseconds, of all steps."""
        named = {check.name: check for check in self.checks}
        return [
            (
                check.published_ms - named[check.after].published_ms,
                check.predicted_ms - named[check.after].predicted_ms,
            )
            for check in self.checks
            if check.after
        ]


class CrossValidation(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="cross_validation",
):
    """How far off a modelled device's predictor is: each row against fits that never saw it.

    Attributes:
        device: The device.
        summaries: By group of rows; `all` is one of them.
        rates_free: The same for a model that takes next to nothing for granted of the engine's rates
            and of the coefficients; empty where nothing was.
        checks: Every row.
        probes: What was never fitted.
        left_aside: Latencies that were timed, but left out: no model fits them and the published ones.
    """

    schema: Literal[1] = 1
    device: str
    summaries: dict[str, Summary]
    rates_free: dict[str, Summary] = {}
    checks: tuple[Check, ...]
    probes: tuple[Probe, ...] = ()
    left_aside: Count = 0

    def __post_init__(self) -> None:
        """Check that there is a summary of all rows."""
        if ALL not in self.summaries:
            raise ValueError(f"summaries must hold {ALL!r}; got {', '.join(self.summaries)}")

    @property
    def unseen_percent(self) -> float | None:
        """Mean error on the RepViT family by a fit without it; None where no row is of it."""
        target = self.summaries.get(TARGET_FAMILY)
        return target.without_family_percent if target else None

    @property
    def coverage_percent(self) -> float:
        """How often the 90 % interval held for networks left out of the fit."""
        return self.summaries[ALL].coverage_percent


class NetworkCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network that no fit saw: measured and predicted milliseconds, 90 % intervals of both."""

    shape: str
    measured_ms: Milliseconds
    measured_low_ms: SignedMilliseconds
    measured_high_ms: Milliseconds
    predicted_ms: Milliseconds
    low_ms: Duration
    high_ms: Milliseconds
    source: Source

    def __post_init__(self) -> None:
        """Check that the intervals are some."""
        check_interval(self.measured_low_ms, self.measured_ms, self.measured_high_ms, "measured_ms")
        check_interval(self.low_ms, self.predicted_ms, self.high_ms, "predicted_ms")


class UnitCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One timed unit, and by how much a fit to all others misses it, in percent."""

    unit: Unit
    latency_ms: Milliseconds
    left_out_percent: Signed


class CurvePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Root mean square percentage error on held-out networks after so many timed units.

    Attributes:
        units: Units timed.
        rmspe: Starting from a physical model of the device.
        transferred: Starting from another device's predictor, by its name.
    """

    units: Count
    rmspe: Deviation
    transferred: dict[str, Deviation]


class HeldOutComparison(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="held_out",
):
    """How far off a measured device's predictor is: random networks that no fit saw.

    Attributes:
        device: The device.
        title: The name people use.
        units: Units that were timed.
        calibration: Networks that the fit saw.
        minutes: What the measuring took.
        noise_floor: What a repetition of the whole measurement would differ by, root mean square
            percent: the error that a perfect predictor would seem to have.
        coverage: Share of held-out networks inside their 90 % interval, percent.
        coverage_with_noise: The same with the error of their own figures allowed for.
        scores: By predictor and baseline.
        curve: How the error falls with the number of units.
        checks: The held-out networks.
        unit_checks: The timed units.
        left_aside: Published latencies that were left out: no model fits them and the timed ones.
        output: What the networks hand back.
    """

    schema: Literal[1] = 1
    device: str
    title: str
    units: Count
    calibration: Count
    minutes: Duration
    noise_floor: Deviation | None
    coverage: Percent
    coverage_with_noise: Percent
    scores: dict[str, PredictionErrors]
    curve: tuple[CurvePoint, ...]
    checks: tuple[NetworkCheck, ...]
    unit_checks: tuple[UnitCheck, ...]
    left_aside: Count = 0
    output: OutputKind = LOGITS

    def __post_init__(self) -> None:
        """Check that the predictor was scored."""
        if PREDICTOR not in self.scores:
            raise ValueError(f"scores must hold {PREDICTOR!r}; got {', '.join(self.scores)}")

    @property
    def unseen_percent(self) -> float:
        """Mean error on networks that no fit saw."""
        return self.scores[PREDICTOR].mape

    @property
    def coverage_percent(self) -> float:
        """How often the 90 % interval held for these networks."""
        return self.coverage


class LeftOutCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One latency against a fit that never saw its network, in milliseconds.

    Attributes:
        name: What was timed.
        resolution: Its input side in pixels.
        tool: What timed it.
        given_ms: What was given.
        predicted_ms: What that fit says; None where no other network was timed.
        low_ms: Lower end of the 90 % interval.
        high_ms: Its upper end.
    """

    name: str
    resolution: Side
    tool: str
    given_ms: Milliseconds
    predicted_ms: Milliseconds | None = None
    low_ms: SignedMilliseconds | None = None
    high_ms: Milliseconds | None = None


class LeaveOneOut(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="leave_one_out",
):
    """How far off the predictor of a device is that is like another one.

    Attributes:
        device: The device.
        like: The device whose predictor its latencies shift and scale.
        times: How many times as long as there the given networks take, the geometric mean.
        misfit_percent: How far single networks scatter around the fit, as one standard deviation.
        error_percent: Mean error on networks left out; None where there is one network only.
        coverage_percent: How often their 90 % interval held; None likewise.
        checks: Every row.
    """

    schema: Literal[1] = 1
    device: str
    like: str
    times: Factor
    misfit_percent: Deviation
    error_percent: Deviation | None
    coverage_percent: Percent | None
    checks: tuple[LeftOutCheck, ...]

    @property
    def unseen_percent(self) -> float | None:
        """Mean error on networks that no fit saw."""
        return self.error_percent


Validation = CrossValidation | HeldOutComparison | LeaveOneOut


def read_validation(path: Path, device: str = "") -> Validation:
    """Read the `validation.json` of a device, of any kind.

    Raises:
        FileError: It is not valid, or of another device.
    """
    raw = files.read_json(path, dict[str, Any])
    # Earlier versions did not write the kind; only a cross-validation sums up families.
    stated = {"kind": "cross_validation" if "summaries" in raw else "held_out"} | raw
    found = files.convert(path, stated, cast("type[Validation]", Validation))
    check_device(path, found.device, device)
    return found


def validation_bytes(validation: Validation) -> bytes:
    """Return the content of a `validation.json`, a line for each check."""
    beside: dict[type, tuple[str, ...]] = {
        CrossValidation: ("probes",),
        HeldOutComparison: ("unit_checks",),
    }
    return files.encode_lines(validation, "checks", *beside.get(type(validation), ()))
