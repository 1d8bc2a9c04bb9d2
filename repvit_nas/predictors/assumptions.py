"""What a fit takes for granted: `predictors/<device>/assumptions.json`, written by people."""

from typing import Final, Literal

import msgspec

from repvit_nas.predictors.engine import Engine, RatePrior, Term
from repvit_nas.predictors.physical import FUSING_COLUMNS, CostColumn, CostForm, FormGrid
from repvit_nas.quantities import RelativeDeviation

ASSUMPTIONS_FILE: Final = "assumptions.json"


class ErrorModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the latencies a model is fitted on may be off, as relative standard deviations.

    Attributes:
        repeat: Of one figure when the same report is made again.
        misfit: Of the model's form for one network, by family; `other` for the rest.
        shared: Of the form for a whole family together, by family; `other` for the rest.
        offset: Of one source as a whole, by tool; `other` for the rest.
        large: Of the form above 320 px, in addition.
        variants: Correlation of the misfit between variants of one network (SE placement).
    """

    repeat: RelativeDeviation
    misfit: dict[str, RelativeDeviation]
    shared: dict[str, RelativeDeviation]
    offset: dict[str, RelativeDeviation]
    large: RelativeDeviation
    variants: RelativeDeviation

    def of(self, group: dict[str, float], name: str) -> float:
        """Return the figure of `group` for `name`, or the one for the rest."""
        return group.get(name, group["other"])

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        for name in ("misfit", "shared", "offset"):
            if "other" not in getattr(self, name):
                raise ValueError(f"{name} must have an entry `other`; got {getattr(self, name)}")


class Assumptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `assumptions.json` (schema 1).

    Attributes:
        note: Anything a reader should know.
        columns: What has a cost on this device.
        forms: The forms of cost that the model weighs, where little is known of the device.
        errors: How far the figures may be off.
        engine: What is known of an accelerator; the forms follow from it.
    """

    schema: Literal[1] = 1
    note: str = ""
    columns: tuple[CostColumn, ...] = FUSING_COLUMNS
    forms: FormGrid | msgspec.UnsetType = msgspec.UNSET
    errors: ErrorModel
    engine: Engine | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Check the rules that types do not state."""
        if isinstance(self.forms, FormGrid) == isinstance(self.engine, Engine):
            raise ValueError("either forms or engine must be given, and not both")
        if unused := set(self.priors) - {"overhead", *self.columns}:
            raise ValueError(f"expected must be of columns or the overhead; got {min(unused)!r}")

    @property
    def priors(self) -> dict[Term, RatePrior]:
        """What coefficients are expected to be; of others only a wide range is."""
        return self.engine.expected if isinstance(self.engine, Engine) else {}

    def listed(self) -> list[CostForm]:
        """List the forms of cost that the model weighs."""
        known = self.engine if isinstance(self.engine, Engine) else self.forms
        return [] if isinstance(known, msgspec.UnsetType) else known.forms()

    def freed(self) -> "Assumptions":
        """Return the assumptions with next to nothing taken for granted of the engine."""
        if not isinstance(self.engine, Engine):
            return self
        return msgspec.structs.replace(self, engine=self.engine.freed())
