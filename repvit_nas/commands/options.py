"""Options that several commands share."""

from collections.abc import Callable, Collection
from typing import Any

import click
from click.core import ParameterSource

from repvit_nas.architecture import OUTPUTS
from repvit_nas.commands.completion import complete_device, complete_network, complete_space
from repvit_nas.data import DEFAULT_DEVICE
from repvit_nas.errors import RepvitNasError
from repvit_nas.storages import WAIT_S

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def grouped(*options: Decorator) -> Decorator:
    """Return one decorator that adds options in the order in which they stand."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def refuse_idle(what: str, idle: Collection[str]) -> None:
    """Raise if the command line gives options that would do nothing.

    What the environment gives is no mistake: a shell profile says it once for all that is run.

    Args:
        what: Where they would do nothing.
        idle: The options, by the names that the command gives them.

    Raises:
        click.UsageError: It gives some.
    """
    context = click.get_current_context()
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name in idle
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"{what}: leave out {', '.join(given)}, which would do nothing there", context
        )


def budget_option(*, required: bool) -> Decorator:
    """Return the option that says how many milliseconds networks may take."""
    return click.option(
        "--budget-ms",
        required=required,
        metavar="MS|DEVICE=MS,...",
        help="The most milliseconds a network may take, on --device or on each device named.",
    )


def family_option(said: str) -> Decorator:
    """Return the option that has reference networks trained beside a run."""
    return click.option("--train-family", metavar="all|NAME,...", help=said)


def _checked_hours(_: click.Context, __: click.Parameter, hours: float | None) -> float | None:
    if hours is not None and not 0 < hours < 1e5:
        raise RepvitNasError(f"--hours must be above 0; got {hours}")
    return hours


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
    help="What networks hand back: scores, a backbone's four maps, or SAM's. [their own, else logits]",
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
storage_options: Decorator = grouped(
    click.option(
        "--storage",
        metavar="URL",
        help="Share the study: postgresql://, mysql://, sqlite:///, journal:///, redis:// or grpc://.",
    ),
    click.option(
        "--wait",
        type=click.FloatRange(min=0),
        default=WAIT_S,
        show_default=True,
        metavar="S",
        help="Seconds to wait for a storage that does not answer.",
    ),
)
study_options: Decorator = grouped(
    storage_options,
    click.option(
        "--study-name",
        default="repvit-nas",
        show_default=True,
        help="The study's name in --storage.",
    ),
)
architecture_argument: Decorator = click.argument(
    "arch", metavar="ARCH", shell_complete=complete_network
)
architectures_argument: Decorator = click.argument(
    "archs", metavar="ARCH...", nargs=-1, required=True, shell_complete=complete_network
)
budget_device_option: Decorator = click.option(
    "--device",
    default=DEFAULT_DEVICE,
    show_default=True,
    help="The device of the budget.",
    shell_complete=complete_device,
)
searched_space_option: Decorator = click.option(
    "--space",
    default="repvit",
    show_default=True,
    metavar="NAME|FILE",
    help="The search space: repvit, coarse, downsample, cifar, or a space file.",
    shell_complete=complete_space,
)
drawn_space_option: Decorator = click.option(
    "--space",
    default="repvit",
    show_default=True,
    metavar="NAME|FILE",
    help="The search space that networks are drawn from.",
    shell_complete=complete_space,
)
data_now_option: Decorator = click.option(
    "--data", default="", metavar="PATH", help="Where a RUN's images are now. [where they were]"
)
threads_option: Decorator = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads of torch."
)
hours_option: Decorator = click.option(
    "--hours",
    type=float,
    callback=_checked_hours,
    help="Start no training that would end after so many hours.",
)
any_placement_option: Decorator = click.option(
    "--any-placement",
    is_flag=True,
    help="Count programs too that did not run on the Neural Engine alone.",
)
debug_option: Decorator = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)
phone_options: Decorator = grouped(
    click.option("--team", default="", envvar="REPVIT_NAS_TEAM", help="Who signs a phone's app."),
    click.option("--udid", default="", envvar="REPVIT_NAS_UDID", help="Which of several phones."),
)
