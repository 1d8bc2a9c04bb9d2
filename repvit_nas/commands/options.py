"""What several commands share: options, the console, JSON on stdout, progress on stderr."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from rich.console import Console

    from repvit_nas.architecture import Architecture

DEFAULT_DEVICE: Final = "iphone12"
# What `--resume` takes to go on with what is there, or to start where nothing is.
AUTO: Final = "auto"
# Seconds between lines of progress in a log.
_EVERY_S: Final = 30.0
# Tables are not squeezed into 80 columns when nobody's terminal asks for it.
_PIPE_WIDTH: Final = 140

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

device_option: Decorator = click.option(
    "--device", default=DEFAULT_DEVICE, show_default=True, help="The device to predict for."
)
foreign_option: Decorator = click.option(
    "--foreign",
    is_flag=True,
    help="Accept a processor's table that was measured on another machine.",
)
outside_option: Decorator = click.option(
    "--outside",
    type=click.Choice(["flag", "clip", "raise"]),
    default="flag",
    show_default=True,
    help="Units outside the measured range: price and call modelled, take the nearest, or refuse.",
)
json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else."
)
space_option: Decorator = click.option(
    "--space",
    default="repvit",
    show_default=True,
    metavar="NAME|FILE",
    help="The search space that ARCH must lie in.",
)
architecture_argument: Decorator = click.argument("arch", metavar="ARCH")
debug_option: Decorator = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def echo_json(document: object) -> None:
    """Print a document as JSON on stdout."""
    from repvit_nas.files import encode_json

    click.echo(encode_json(document).decode(), nl=False)


def console() -> "Console":
    """Return the console for tables on stdout."""
    import sys

    from rich.console import Console

    terminal = sys.stdout is not None and sys.stdout.isatty()  # None where stdout is closed
    return Console(width=None if terminal else _PIPE_WIDTH, highlight=False, markup=False)


def note(message: str) -> None:
    """Tell the user something on stderr."""
    click.echo(message, err=True)


def checked_architecture(text: str, space_name: str) -> "Architecture":
    """Load ARCH and make sure that it lies in the space.

    Raises:
        RepvitNasError: There is no such network, or it is outside the space.
    """
    from repvit_nas.errors import RepvitNasError
    from repvit_nas.named import load_architecture
    from repvit_nas.search_space.space import load_space

    architecture = load_architecture(text)
    space, _ = load_space(space_name)
    try:
        space.check(architecture)
    except RepvitNasError as error:
        raise RepvitNasError(f"{text}: {error}; a wider space can be given with --space") from error
    return architecture


class ResumingCommand(click.Command):
    """A command whose `--resume` takes `auto` or nothing: click would take whatever follows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write out what a lone `--resume` stands for."""
        rest, resume = split_resume(args)
        return super().parse_args(ctx, rest if resume is None else [f"--resume={resume}", *rest])


def split_resume(words: list[str]) -> tuple[list[str], str | None]:
    """Return the words of a command line without `--resume`, and what it takes: `yes` or `auto`."""
    rest: list[str] = []
    resume = None
    for before, word in itertools.pairwise(["", *words]):
        if word == "--resume":
            resume = "yes"
        elif word.startswith("--resume="):
            resume = word.removeprefix("--resume=")
        elif word == AUTO and before == "--resume":
            resume = AUTO
        else:
            rest.append(word)
    return rest, resume


@contextmanager
def progress_bar(every_s: float = _EVERY_S) -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being done, how far it is and the time left, on stderr.

    Args:
        every_s: Where stderr is no terminal, a line is printed whenever so many seconds have passed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield _lines(every_s)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=None, visible=False)

        def update(doing: str, done: int, total: int) -> None:
            bar.update(task, description=doing, completed=done, total=total, visible=True)

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
