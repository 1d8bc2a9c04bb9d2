"""What the words of a command line stand for: networks, predictors and budgets."""

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from repvit_nas.commands.console import note
from repvit_nas.errors import RepvitNasError
from repvit_nas.storages import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repvit_nas.architecture import OutputKind
    from repvit_nas.predictors.lookup import Outside
    from repvit_nas.units import Network


def say_predictors(devices: "Sequence[str]", *, foreign: bool, outside: "Outside" = "flag") -> None:
    """Tell the user whose latencies are used, and which copies of them."""
    from repvit_nas.api.loading import predictor_of
    from repvit_nas.predictors.predictor import said

    for device in devices:
        note(said(*predictor_of(device, foreign=foreign, outside=outside)))


def checked_architecture(
    text: str,
    space_name: str | None,
    resolution: int | None = None,
    output: "OutputKind | None" = None,
) -> "Network":
    """Load ARCH and make sure that it lies in the space; without one, in that of its run.

    A network that is told by its units lies in no space: none is asked of it, unless one is given.

    The resolution of a training run is that of its images: its shape alone has to lie there.

    Args:
        text: ARCH.
        space_name: The space.
        resolution: Side of its input in pixels; None for its own.
        output: What it hands back; None for what it does.

    Raises:
        RepvitNasError: There is no such network, or it is outside the space.
    """
    from repvit_nas.architecture import Architecture
    from repvit_nas.named import load_architecture, load_network, shaped, space_of
    from repvit_nas.search_space.space import load_space

    network = shaped(load_network(text), output, resolution)
    if space_name is None and not isinstance(network, Architecture):
        return network
    architecture = load_architecture(network)
    space = space_of(text) if space_name is None else None
    if space is None:
        space, _ = load_space("repvit" if space_name is None else space_name)
    trained = False
    if resolution is None and Path(text).is_dir():
        from repvit_nas.training.records import is_training_run

        trained = is_training_run(Path(text))
    try:
        (space.check_shape if trained else space.check)(architecture)
    except RepvitNasError as error:
        raise RepvitNasError(f"{text}: {error}; a wider space can be given with --space") from error
    return architecture


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


def own_words() -> list[str]:
    """Return the words of this command line that say what is done, not how it is printed."""
    return [word for word in sys.argv[1:] if word not in {"--json", "--debug"}]


def repeated() -> str:
    """Return the command line that repeats this one, without the password of a storage."""
    return masked(shlex.join(["repvit-nas", *own_words()]))
