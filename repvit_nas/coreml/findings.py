"""One thing that measuring a device needs, and whether it is there."""

from typing import NamedTuple


class Condition(NamedTuple):
    """One thing that is needed.

    Attributes:
        name: What it is.
        fine: Whether it is there; None where it can do without.
        said: What was found, or what to do.
    """

    name: str
    fine: bool | None
    said: str
