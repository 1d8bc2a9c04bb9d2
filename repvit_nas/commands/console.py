"""What commands print: tables and lines on stdout, notes and progress on stderr."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from repvit_nas.words import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from repvit_nas.report.tables import Grid

# Seconds between lines of progress in a log.
_EVERY_S: Final = 30.0
# Tables are not squeezed into 80 columns when nobody's terminal asks for it.
_PIPE_WIDTH: Final = 140


def console() -> "Console":
    """Return the console for tables on stdout."""
    import shutil

    from rich.console import Console

    class PlainConsole(Console):
        """A console that shows texts, whatever file they are from, and obeys none."""

        def render_str(self, text: str, **how: Any) -> "Text":
            return super().render_str(plain(text), **how)

    coloured = escapes_allowed(sys.stdout)
    return PlainConsole(
        width=shutil.get_terminal_size((_PIPE_WIDTH, 0)).columns,
        color_system="auto" if coloured else None,
        force_terminal=coloured,
        highlight=False,
        markup=False,
    )


def escapes_allowed(stream: "TextIO | None") -> bool:
    """Tell whether colours and moving bars may be written: to a terminal that nobody muted.

    Args:
        stream: Where they would be written; None where it is closed.
    """
    muted = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    terminal = stream is not None and stream.isatty()
    return terminal and not muted and os.environ.get("TERM") != "dumb"


def show(*parts: "Grid | str") -> None:
    """Print tables and lines on stdout, as wide as the terminal is; a pipe takes 140 columns."""
    from repvit_nas.report.tables import terminal

    screen = console()
    for part in parts:
        for shown in [part] if isinstance(part, str) else terminal(part, screen.width):
            screen.print(shown)


def note(message: str) -> None:
    """Tell the user something on stderr."""
    click.echo(plain(message), err=True)


def tell(message: str) -> None:
    """Print what was asked for on stdout."""
    click.echo(plain(message))


@contextmanager
def progress_bar(every_s: float = _EVERY_S) -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being done, how far it is and the time left, on stderr.

    Args:
        every_s: Where stderr is no terminal, a line is printed whenever so many seconds have passed.
    """
    if not escapes_allowed(sys.stderr):
        yield _lines(every_s)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, visible=False)

        def update(doing: str, done: int, total: int) -> None:
            bar.update(task, description=plain(doing), completed=done, total=total, visible=True)

        yield update


def _lines(every_s: float) -> Callable[[str, int, int], None]:
    """Return what prints a line of progress now and then."""
    last = time.monotonic()

    def update(doing: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            note(f"{doing}: {done:,} of {total:,}")

    return update
