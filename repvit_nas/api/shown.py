"""What all results have in common: they show themselves as a table, in a notebook and as a frame."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import pandas as pd

    from repvit_nas.report.tables import Grid

Row = TypeVar("Row")


class Shown:
    """A result that shows itself; results are frozen records that inherit it."""

    __slots__ = ()

    @abstractmethod
    def grid(self) -> "Grid":
        """Return the table that a terminal and a notebook show, numbers rounded for people."""

    @abstractmethod
    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return what `to_frame` holds: each column's values, not rounded."""

    def to_frame(self) -> "pd.DataFrame":
        """Return the result as a frame of pandas, one row for each thing that it is about."""
        import pandas as pd

        return pd.DataFrame(dict(self.columns()))

    def _repr_html_(self) -> str:
        """Return the table in HTML, for notebooks; whatever a user named is only text in it."""
        from repvit_nas.report.tables import html

        return html(self.grid())


class ShownRows(Shown, Generic[Row]):
    """A result of several things, which stand in its field `rows`."""

    __slots__ = ()
    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        """Go through the rows."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)


def axes_or_new(axes: Any) -> Any:
    """Return `axes`, or new ones of matplotlib where none are given."""
    if axes is not None:
        return axes
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained")[1]


def bars_with_intervals(
    axes: Any, names: Sequence[str], values: Sequence[float], ends: Sequence[tuple[float, float]]
) -> Any:
    """Draw a value with its interval for each name, the first on top, and return the axes."""
    drawn = axes_or_new(axes)
    places = range(len(names))
    low = [value - end[0] for value, end in zip(values, ends, strict=True)]
    high = [end[1] - value for value, end in zip(values, ends, strict=True)]
    drawn.errorbar(values, places, xerr=[low, high], fmt="o", capsize=3)
    drawn.set_yticks(places, [name.replace("$", r"\$") for name in names])
    drawn.set_ylim(len(names) - 0.5, -0.5)
    drawn.grid(alpha=0.25)
    return drawn
