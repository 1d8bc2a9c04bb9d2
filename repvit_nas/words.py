"""Numbers and names in what people read, and how whoever waits is told how far something is."""

import re
from collections.abc import Callable
from typing import Final

# Told what is being done, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]
# Told what the user should know.
Say = Callable[[str], None]
# What Markdown takes for a cell's end, a link or code.
_MARKS: Final = re.compile(r"[\\|\[\]`]")


def number_of(number: int, what: str, *, grouped: bool = False) -> str:
    """Return a number with what it counts: `1 unit`, `2 units`, `0 latencies`, `3 classes`.

    Args:
        number: How many.
        what: One of them.
        grouped: Write `12,000` instead of `12000`.
    """
    shown = f"{number:,}" if grouped else f"{number}"
    if number == 1:
        return f"{shown} {what}"
    if what.endswith("y"):
        return f"{shown} {what[:-1]}ies"
    return f"{shown} {what}{'es' if what.endswith('s') else 's'}"


def printable(name: str) -> str:
    """Return a name of a file as it can be printed and kept: what no terminal shows is written out."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def plain(text: str) -> str:
    """Return text as a terminal can show it: its lines stay, what else a terminal obeys is written out."""
    return "\n".join(printable(line) for line in text.split("\n"))


def markdown(text: str) -> str:
    """Return text that came from a file as it can stand in a line of a Markdown page: as text alone."""
    import html  # whose table of entities most have no use for

    return _MARKS.sub(r"\\\g<0>", html.escape(printable(text), quote=False))
