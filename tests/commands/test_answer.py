"""`--json` of every command: one document, or a text, and the code that the answer has."""

import json
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from repvit_nas.commands import COMMANDS, cli
from repvit_nas.commands.answer import Answer, answers, one_or_list


class Sum(NamedTuple):
    numbers: tuple[int, ...]
    total: int


def show(found):
    click.echo(f"the total is {found.total}")


def run(function, *words):
    done = CliRunner().invoke(click.command()(answers(function)), words, standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json(name):
    command = cli.get_command(click.Context(cli), name)

    assert "--json" in {word for option in command.params for word in option.opts}


def test_an_answer_is_a_text_or_one_document_and_ends_with_its_code():
    def command():
        return Answer(Sum((1, 2), 3), show, Sum._asdict, code=7)

    assert run(command) == (7, "the total is 3\n")
    code, out = run(command, "--json")
    assert code == 7
    assert json.loads(out) == {"numbers": [1, 2], "total": 3}


def test_texts_are_printed_as_they_come_and_the_last_answer_is_the_document():
    said = []

    def command():
        for total in (1, 2):
            yield Answer(Sum((), total), show, Sum._asdict, code=total)
            said.append(total)

    assert run(command) == (2, "the total is 1\nthe total is 2\n")
    code, out = run(command, "--json")
    assert code == 2
    assert json.loads(out)["total"] == 2
    assert said == [1, 2, 1, 2]


def test_a_command_without_an_answer_prints_nothing():
    assert run(tuple) == (0, "")
    assert run(tuple, "--json") == (0, "")


def test_a_record_is_its_own_document_and_controls_are_escaped():
    code, out = run(lambda: Answer({"name": "a\x9bb\x7f"}, show), "--json")

    assert code == 0
    assert "\x9b" not in out
    assert "\x7f" not in out
    assert json.loads(out) == {"name": "a\x9bb\x7f"}


def test_a_lone_document_is_no_list():
    assert one_or_list([{"a": 1}]) == {"a": 1}
    assert one_or_list([{"a": 1}, {"a": 2}]) == [{"a": 1}, {"a": 2}]
