"""What is measured where no option says so, on a Core ML device and elsewhere."""

import click
import pytest

from repvit_nas.commands.wishes import asked_limits, asked_wishes, wishes_options


def asked(core_ml, *words):
    @click.command()
    @wishes_options
    def command(**given):
        return asked_wishes(given, core_ml=core_ml), asked_limits(given, core_ml=core_ml)

    return command.main([*words], standalone_mode=False)


def test_a_core_ml_device_has_numbers_of_its_own():
    here, limits_here = asked(core_ml=False)
    there, limits_there = asked(core_ml=True)

    assert here.isolated
    assert not there.isolated  # a lone unit is put elsewhere than a network's
    assert limits_here.minutes == 10
    assert limits_there.minutes == 8 * 60
    assert limits_there.precision == limits_here.precision
    assert (here.seed, here.resolution) == (there.seed, there.resolution) == (0, None)


@pytest.mark.parametrize("core_ml", [True, False])
def test_what_an_option_says_holds_everywhere(core_ml):
    words = ["--units", "12", "--networks", "3", "--calibration", "4", "--isolated", "--seed", "5"]
    wishes, limits = asked(core_ml, *words, "--minutes", "10", "--precision", "0.1")

    assert (wishes.units, wishes.held_out, wishes.calibration) == (12, 3, 4)
    assert wishes.isolated
    assert wishes.seed == 5
    assert limits == (10, 0.1)
