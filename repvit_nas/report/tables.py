"""Tables: the same cells for a terminal of any width, for Markdown and for a notebook."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from repvit_nas.words import printable

if TYPE_CHECKING:
    from rich.table import Table

# What a terminal's table takes beside its cells: a line and two spaces a column, and the last line.
_AROUND, _EDGE = 3, 1
# What Markdown would take for a mark of its own.
_MARKS: Final = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\|`*[]"} | {"<": "&lt;", "\n": " ", "\r": " "}
)


class Column(NamedTuple):
    """One column of a table.

    Attributes:
        header: What it is.
        cells: One for each row.
        right: Whether it is set to the right, as numbers are.
        drop: 0 for a column that is always shown; of the others the highest goes first where there
            is no room.
        short: The header and the cells that stand for it where there is no room, if any.
        wraps: Whether its cells are sentences, which may take several lines.
    """

    header: str
    cells: Sequence[str]
    right: bool = False
    drop: int = 0
    short: tuple[str, Sequence[str]] | None = None
    wraps: bool = False


class Grid(NamedTuple):
    """A table; its first column says which row it is."""

    title: str
    columns: tuple[Column, ...]

    @classmethod
    def of(
        cls,
        title: str,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        left: Sequence[str] = (),
        drop: Mapping[str, int] | None = None,
        wraps: Sequence[str] = (),
    ) -> "Grid":
        """Build a table from its rows.

        Args:
            title: What stands above it.
            header: The headers; the first column is set to the left, all others to the right.
            rows: The cells.
            left: Headers of other columns that are set to the left.
            drop: Which columns may go, see :class:`Column`.
            wraps: Headers of columns of sentences.
        """
        columns = (
            Column(
                name,
                [row[index] for row in rows],
                right=index > 0 and name not in left and name not in wraps,
                drop=(drop or {}).get(name, 0),
                wraps=name in wraps,
            )
            for index, name in enumerate(header)
        )
        return cls(title, tuple(columns))

    @property
    def header(self) -> list[str]:
        """The headers of the columns."""
        return [column.header for column in self.columns]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells, row by row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))


def markdown(grid: Grid, *, marked: bool = False) -> str:
    """Return a table in Markdown, without its title.

    Args:
        grid: The table.
        marked: Whether the cells are Markdown; else marks in them are only text.
    """
    lines = [grid.header, ["---"] * len(grid.columns), *grid.rows]
    shown = [[cell if marked else cell.translate(_MARKS) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in shown) + "\n"


def html(grid: Grid) -> str:
    """Return a table in HTML; tags in the cells are only text."""
    from html import escape

    sides = ["right" if column.right else "left" for column in grid.columns]

    def line(tag: str, cells: Sequence[str]) -> str:
        parts = (
            f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(line("td", row) for row in grid.rows)
    return (
        f"<table><caption>{escape(grid.title)}</caption><thead>{line('th', grid.header)}</thead>"
        f"<tbody>{body}</tbody></table>"
    )


def terminal(grid: Grid, width: int) -> "list[Table]":
    """Return what a terminal of `width` columns shows of a table, in one table or more.

    No cell is ever cut. Where the table is too wide, headers are broken into lines, then columns
    that may go do, the least important first, then columns take their short form; what is still too
    much follows in tables of its own, which begin with the first column as well.
    """
    parts = fit(_plain(grid), width)
    return [_rich(part, folded=_width(part.columns) > width) for part in parts]


def fit(grid: Grid, width: int) -> list[Grid]:
    """Return the tables of which each takes no more than `width`, as far as cells allow."""
    columns = list(grid.columns)
    if _width(columns) <= width:
        return [grid]
    columns = [_broken(column) for column in columns]
    while _width(columns) > width and any(column.drop for column in columns):
        columns.remove(max(columns, key=lambda column: column.drop))
    for index in range(len(columns) - 1, -1, -1):
        if _width(columns) > width:
            columns[index] = _shortened(columns[index])
    first, *rest = columns
    parts = [[first]]
    for column in rest:
        if len(parts[-1]) > 1 and _width([*parts[-1], column]) > width:
            parts.append([first])
        parts[-1].append(column)
    return [Grid(grid.title if not n else "", tuple(part)) for n, part in enumerate(parts)]


def _plain(grid: Grid) -> Grid:
    """Write out what a terminal would take for a command."""
    columns = (
        column._replace(cells=[printable(cell) for cell in column.cells]) for column in grid.columns
    )
    return Grid(printable(grid.title), tuple(columns))


def _width(columns: Sequence[Column]) -> int:
    return sum(_wide(column) + _AROUND for column in columns) + _EDGE


def _wide(column: Column) -> int:
    from rich.cells import cell_len

    words = " ".join(column.cells).split() if column.wraps else column.cells
    return max(cell_len(text) for text in [*column.header.split("\n"), *words])


def _broken(column: Column) -> Column:
    """Break a header into lines that are no wider than the cells, or its longest word."""
    words = column.header.split()
    wide = max([len(cell) for cell in column.cells] + [len(word) for word in words], default=1)
    lines = textwrap.wrap(column.header, max(wide, 1), break_on_hyphens=False)
    return column._replace(header="\n".join(lines))


def _shortened(column: Column) -> Column:
    if column.short is None:
        return column
    header, cells = column.short
    return _broken(column._replace(header=header, cells=cells))


def _rich(grid: Grid, *, folded: bool) -> "Table":
    """Return a table; what is wider than the terminal all the same is folded, not cut."""
    from rich.table import Table

    table = Table(title=grid.title or None)
    for column in grid.columns:
        table.add_column(
            column.header,
            justify="right" if column.right else "left",
            min_width=None if folded else _wide(column),
            no_wrap=not (column.wraps or folded),
            overflow="fold",
        )
    for row in grid.rows:
        table.add_row(*row)
    return table
