"""What a fit takes for granted: `predictors/<device>/assumptions.json`, written by people."""

from typing import Annotated, Final, Literal

import msgspec

from repvit_nas.predictors.physical import FUSING_COLUMNS, Column, FormGrid

ASSUMPTIONS_FILE: Final = "assumptions.json"
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


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

    repeat: Share
    misfit: dict[str, Share]
    shared: dict[str, Share]
    offset: dict[str, Share]
    large: Share
    variants: Share

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
        forms: The forms of cost that the model weighs.
        errors: How far the figures may be off.
        columns: What has a cost on this device.
    """

    schema: Literal[1] = 1
    note: str = ""
    columns: tuple[Column, ...] = FUSING_COLUMNS
    forms: FormGrid
    errors: ErrorModel
