"""Options that say what to measure of a device, and for how long; Core ML devices have their own numbers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from repvit_nas.architecture import LOGITS
from repvit_nas.commands.options import Decorator, drawn_space_option, grouped, output_option

if TYPE_CHECKING:
    from repvit_nas.architecture import OutputKind
    from repvit_nas.measuring.campaign import Wishes
    from repvit_nas.measuring.session import Limits

# A visit of a phone takes 5 to 10 seconds, nearly all of it copying.
PHONE_MINUTES: Final = 480.0

wishes_options: Decorator = grouped(
    click.option("--units", type=int, default=240, show_default=True, help="Units to time."),
    click.option(
        "--networks", type=int, default=40, show_default=True, help="Held-out networks to time."
    ),
    click.option(
        "--calibration",
        type=int,
        default=20,
        show_default=True,
        help="Networks to time that the fit may see.",
    ),
    click.option(
        "--minutes", type=float, default=10.0, show_default=True, help="Minutes of timing in all."
    ),
    click.option(
        "--precision",
        type=float,
        default=0.005,
        show_default=True,
        help="Stop earlier when networks are known to this share, half their 90 % interval.",
    ),
    click.option(
        "--isolated/--no-isolated",
        default=True,
        show_default=True,
        help="Also time lone units of held-out classifiers, as a baseline.",
    ),
    drawn_space_option,
    output_option,
    click.option(
        "--resolution",
        type=int,
        metavar="PX",
        help="Input side. [default: the space's; 1024 for sam]",
    ),
    click.option("--seed", type=int, default=0, show_default=True),
)


def asked_wishes(given: Mapping[str, Any], *, core_ml: bool) -> "Wishes":
    """Return what the options ask to measure: on a Core ML device its own numbers where none says so."""
    from repvit_nas.measuring.campaign import Wishes

    output: OutputKind = given["output"] or LOGITS
    asked = Wishes(
        given["units"],
        given["calibration"],
        given["networks"],
        _given_or("isolated", given["isolated"], output == LOGITS),
        given["seed"],
        given["resolution"],
        output,
    )
    return _core_ml_wishes(asked) if core_ml else asked


def asked_limits(given: Mapping[str, Any], *, core_ml: bool) -> "Limits":
    """Return when the options have a session end."""
    from repvit_nas.measuring.session import Limits

    minutes = given["minutes"]
    return Limits(
        _given_or("minutes", minutes, PHONE_MINUTES) if core_ml else minutes, given["precision"]
    )


def _core_ml_wishes(wishes: "Wishes") -> "Wishes":
    """Return what to measure on a Core ML device: where no option says so, its own numbers."""
    from repvit_nas.coreml.exporting import CALIBRATION, HELD_OUT, UNITS

    return wishes._replace(
        units=_given_or("units", wishes.units, UNITS),
        held_out=_given_or("networks", wishes.held_out, HELD_OUT),
        calibration=_given_or("calibration", wishes.calibration, CALIBRATION),
        # A lone unit is too small for Core ML to put it where a network's units run.
        isolated=_given_or("isolated", wishes.isolated, False),
    )


def _given_or(option: str, given: Any, own: Any) -> Any:
    """Return what an option says, or Core ML devices' own default where it says nothing."""
    from click.core import ParameterSource

    source = click.get_current_context().get_parameter_source(option)
    return own if source is ParameterSource.DEFAULT else given
