"""What a search is asked: the record that a run is repeated from."""

import shlex
from typing import Final, Literal, get_args

import msgspec

from repvit_nas.architecture import (
    LOGITS,
    MAX_CLASSES,
    OUTPUTS,
    SAM_STEP,
    OutputKind,
    usual_output,
    usual_resolution,
)
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import RepvitNasError, UnknownNameError
from repvit_nas.predictors.predictor import HIGHEST_CONFIDENCE

Sampler = Literal["nsga2", "tpe", "gp", "random"]
SAMPLERS: Final[tuple[str, ...]] = get_args(Sampler)
DEFAULT_TRIALS: Final = 2000
MAX_TRIALS: Final = 10_000_000
MAX_SEED: Final = 2**63 - 1
# Limits in milliseconds, millions or megabytes: far outside any network.
LEAST, MOST = 1e-6, 1e6
# Of an input, in pixels; a space has narrower bounds.
_MOST_SIDE: Final = 1 << 16
# What a run's folder is named after where it is not as by default.
_NAMED: Final = (
    "accuracy",
    "sampler",
    "seed",
    "risk",
    "confidence",
    "num_classes",
    "max_params_m",
    "max_macs_g",
    "max_size_mb",
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides the outcome of a search.

    Attributes:
        space: Name or file of the search space.
        budgets_ms: The most milliseconds on each device.
        accuracy: Who says how accurate a network would be: `family`, or an estimator trained here.
        resolution: Side of the input in pixels; None takes the space's default.
        output: What the networks hand back: `logits`, the maps of their four `features`, or the map of
            a `sam` encoder; without it, no classes are `features`.
        num_classes: Outputs of the classifier; 0 where the networks hand back maps.
        sampler: Which Optuna sampler proposes networks.
        trials: How many it proposes.
        seed: The same seed gives the same front.
        risk: Accuracy counts as its estimate less this many standard deviations.
        confidence: If given, the budget holds for the upper end of the latency's interval at this
            confidence instead of the estimate.
        max_params_m: The most parameters of the fused network, in millions.
        max_macs_g: The most multiply-accumulates, in thousand millions.
        max_size_mb: The most megabytes of fp16 weights.
    """

    space: str = "repvit"
    budgets_ms: dict[str, float]
    accuracy: str = "family"
    resolution: int | None = None
    output: OutputKind = LOGITS
    num_classes: int = 1000
    sampler: Sampler = "nsga2"
    trials: int = DEFAULT_TRIALS
    seed: int = 0
    risk: float = 1.0
    confidence: float | None = None
    max_params_m: float | None = None
    max_macs_g: float | None = None
    max_size_mb: float | None = None

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        if not self.budgets_ms:
            raise RepvitNasError("a search needs a budget, such as --budget-ms 1.0")
        for device, budget in self.budgets_ms.items():
            _require(
                LEAST <= budget <= MOST,
                f"the budget of {device} must be {LEAST:f} to {MOST:,.0f} ms",
                budget,
            )
        if self.sampler not in SAMPLERS:
            raise UnknownNameError.of("sampler", self.sampler, list(SAMPLERS))
        _require(1 <= self.trials <= MAX_TRIALS, f"trials must be 1 to {MAX_TRIALS:,}", self.trials)
        _require(
            0 <= self.num_classes <= MAX_CLASSES,
            f"num_classes must be 0 to {MAX_CLASSES:,}",
            self.num_classes,
        )
        if self.resolution is not None:
            _require(
                1 <= self.resolution <= _MOST_SIDE,
                f"resolution must be 1 to {_MOST_SIDE:,}",
                self.resolution,
            )
        if self.output not in OUTPUTS:
            raise UnknownNameError.of("output", self.output, list(OUTPUTS))
        output = usual_output(self.output, self.num_classes)
        msgspec.structs.force_setattr(self, "output", output)
        _require(
            self.output == LOGITS or self.num_classes == 0,
            f"num_classes means nothing where output is {self.output}; leave it out",
            self.num_classes,
        )
        step = SAM_STEP.get(self.output, 1)
        _require(
            self.resolution is None or self.resolution % step == 0,
            f"resolution must be a multiple of {step} where output is {self.output}",
            self.resolution,
        )
        _require(0 <= self.seed <= MAX_SEED, f"the seed must be 0 to {MAX_SEED}", self.seed)
        _require(0 <= self.risk <= 10, "risk must be 0 to 10 standard deviations", self.risk)
        if self.confidence is not None:
            _require(
                0 < self.confidence <= HIGHEST_CONFIDENCE,
                f"confidence must be above 0 and at most {HIGHEST_CONFIDENCE}",
                self.confidence,
            )
        for name in ("max_params_m", "max_macs_g", "max_size_mb"):
            limit = getattr(self, name)
            if limit is not None:
                _require(LEAST <= limit <= MOST, f"{name} must be {LEAST:f} to {MOST:,.0f}", limit)


def _defaults(settings: Settings) -> Settings:
    """Return what `settings` would be if nothing but budgets and output had been given."""
    return Settings(
        budgets_ms=settings.budgets_ms,
        output=settings.output,
        num_classes=1000 if settings.output == LOGITS else 0,
        resolution=usual_resolution(settings.output),
    )


def _require(holds: bool, rule: str, arrived: object) -> None:
    if not holds:  # a nan fails every comparison and so lands here too
        raise RepvitNasError(f"{rule}; got {arrived}")


def command_line(settings: Settings, out: str | None = None) -> str:
    """Return the command that repeats a search; what is as by default is left out."""
    budgets = ",".join(f"{device}={ms}" for device, ms in settings.budgets_ms.items())
    if list(settings.budgets_ms) == [DEFAULT_DEVICE]:
        budgets = str(settings.budgets_ms[DEFAULT_DEVICE])
    words = ["repvit-nas", "search", "--budget-ms", budgets]
    defaults = _defaults(settings)
    for field in settings.__struct_fields__:
        value = getattr(settings, field)
        usual = LOGITS if field == "output" else getattr(defaults, field)
        if field != "budgets_ms" and value != usual:
            words += [f"--{field.replace('_', '-')}", str(value)]
    return shlex.join(words + (["--out", out] if out else []))


def default_folder(settings: Settings) -> str:
    """Return the name of the run's folder, such as `iphone12-1.0ms` or `iphone12-1.0ms-seed-1`.

    It holds everything that is not as by default but for the number of trials, which may grow.
    """
    parts = [f"{device}-{budget}ms" for device, budget in settings.budgets_ms.items()]
    if settings.space != "repvit":
        stem = settings.space.rsplit("/", 1)[-1].removesuffix(".toml")
        parts.append(stem)
    if settings.output != LOGITS:
        parts.append(settings.output)
    defaults = _defaults(settings)
    if settings.resolution != defaults.resolution:
        parts.append(f"{settings.resolution}px")
    for name in _NAMED:
        value = getattr(settings, name)
        if value != getattr(defaults, name):
            parts.append(f"{name.replace('_', '-')}-{str(value).removesuffix('.0')}")
    return "-".join(parts)
