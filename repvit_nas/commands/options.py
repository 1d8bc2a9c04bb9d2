"""What several commands share: options, the console, JSON on stdout, progress on stderr."""

import itertools
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from repvit_nas.architecture import OUTPUTS
from repvit_nas.commands.completion import complete_device, complete_network, complete_space
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import RepvitNasError
from repvit_nas.words import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

    from repvit_nas.architecture import Architecture, OutputKind
    from repvit_nas.predictors.lookup import Outside
    from repvit_nas.report.tables import Grid

# What `--resume` takes to go on with what is there, or to start where nothing is.
AUTO: Final = "auto"
# Seconds between lines of progress in a log.
_EVERY_S: Final = 30.0
# Tables are not squeezed into 80 columns when nobody's terminal asks for it.
_PIPE_WIDTH: Final = 140

# What a terminal obeys, and JSON need not escape.
_CONTROLS: Final = re.compile("[\x7f-\x9f]")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

device_option: Decorator = click.option(
    "--device",
    default=DEFAULT_DEVICE,
    show_default=True,
    help="The device to predict for.",
    shell_complete=complete_device,
)
devices_option: Decorator = click.option(
    "--device",
    "devices",
    multiple=True,
    default=[DEFAULT_DEVICE],
    show_default=True,
    help="The device to predict for; may be given several times.",
    shell_complete=complete_device,
)
resolution_option: Decorator = click.option(
    "--resolution", type=int, metavar="PX", help="Input side. [default: each network's own]"
)
output_option: Decorator = click.option(
    "--output",
    type=click.Choice(OUTPUTS),
    metavar="|".join(OUTPUTS),
    help="What networks hand back: scores, the four maps of a backbone, or SAM's map. [logits]",
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
    metavar="NAME|FILE",
    help="The search space that ARCH must lie in. [default: a winner's own, else repvit]",
    shell_complete=complete_space,
)
accuracy_option: Decorator = click.option(
    "--accuracy",
    default="family",
    show_default=True,
    metavar="family|NAME",
    help="Who says how accurate a network would be; measure-accuracy makes more.",
)
storage_option: Decorator = click.option(
    "--storage",
    metavar="URL",
    help="Share the study: postgresql://, mysql://, sqlite:///, journal:///, redis:// or grpc://.",
)
wait_option: Decorator = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait for a storage that does not answer.",
)
architecture_argument: Decorator = click.argument(
    "arch", metavar="ARCH", shell_complete=complete_network
)
architectures_argument: Decorator = click.argument(
    "archs", metavar="ARCH...", nargs=-1, required=True, shell_complete=complete_network
)
debug_option: Decorator = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def echo_json(document: object) -> None:
    """Print a document as JSON on stdout."""
    from repvit_nas.files import encode_json

    click.echo(_CONTROLS.sub(_escaped, encode_json(document).decode()), nl=False)


def _escaped(control: re.Match[str]) -> str:
    """Return a control character as JSON may also write it."""
    return f"\\u{ord(control[0]):04x}"


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


def show(grid: "Grid") -> None:
    """Print a table on stdout, as wide as the terminal is; a pipe takes 140 columns."""
    from repvit_nas.report.tables import terminal

    screen = console()
    for table in terminal(grid, screen.width):
        screen.print(table)


def note(message: str) -> None:
    """Tell the user something on stderr."""
    click.echo(plain(message), err=True)


def tell(message: str) -> None:
    """Print what was asked for on stdout."""
    click.echo(plain(message))


def say_predictors(devices: "Sequence[str]", *, foreign: bool, outside: "Outside" = "flag") -> None:
    """Tell the user whose latencies are used, and which copies of them."""
    from repvit_nas.api.loading import device_inputs

    for device in devices:
        inputs, _ = device_inputs(device, foreign=foreign, outside=outside)
        note(inputs.said())


def echo_documents(documents: list[dict[str, Any]]) -> None:
    """Print one document as JSON as it is, and several as a list."""
    echo_json(documents[0] if len(documents) == 1 else documents)


def checked_architecture(
    text: str,
    space_name: str | None,
    resolution: int | None = None,
    output: "OutputKind | None" = None,
) -> "Architecture":
    """Load ARCH and make sure that it lies in the space; without one, in that of its run.

    The resolution of a training run is that of its images: its shape alone has to lie there.

    Args:
        text: ARCH.
        space_name: The space.
        resolution: Side of its input in pixels; None for its own.
        output: What it hands back; None for what it does.

    Raises:
        RepvitNasError: There is no such network, or it is outside the space.
    """
    from repvit_nas.named import load_architecture, shaped, space_of
    from repvit_nas.search_space.space import load_space
    from repvit_nas.training.records import is_training_run

    architecture = shaped(load_architecture(text), output, resolution)
    space = space_of(text) if space_name is None else None
    if space is None:
        space, _ = load_space("repvit" if space_name is None else space_name)
    trained = resolution is None and is_training_run(Path(text))
    try:
        (space.check_shape if trained else space.check)(architecture)
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


def parse_budgets(text: str, device: str) -> dict[str, float]:
    """Return the budget of each device of `1.0` or `iphone12=1.0,iphone13=0.9`.

    Raises:
        RepvitNasError: A budget is no positive number, or a device is named twice.
    """
    budgets: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        key = name.strip() if equals else device
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (0 < value < math.inf):
            raise RepvitNasError(
                "--budget-ms must be a number of milliseconds above 0, or one for each device such "
                f"as iphone12=1.0,iphone13=0.9; got {text!r}"
            )
        if key in budgets:
            raise RepvitNasError(f"--budget-ms names the device {key!r} twice; got {text!r}")
        budgets[key] = value
    return budgets


@contextmanager
def progress_bar(every_s: float = _EVERY_S) -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being done, how far it is and the time left, on stderr.

    Args:
        every_s: Where stderr is no terminal, a line is printed whenever so many seconds have passed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    if not escapes_allowed(sys.stderr):
        yield _lines(every_s)
        return
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
