"""Options that several commands share."""

import click

from repvit_nas.commands.options import grouped, searched_space_option
from repvit_nas.search_space.space import known_spaces


def test_a_group_adds_its_options_in_the_order_in_which_they_stand():
    options = grouped(click.option("--first"), click.option("--second", default="2"))

    @click.command()
    @click.option("--before")
    @options
    def command(before, first, second):
        return before, first, second

    assert [option.name for option in command.params] == ["before", "first", "second"]
    assert command.main(["--first", "1"], standalone_mode=False) == (None, "1", "2")


def test_the_help_of_a_space_names_all_that_ship(elsewhere):
    command = click.command()(searched_space_option(lambda space: space))

    assert all(f" {name}," in command.params[0].help for name in known_spaces())
