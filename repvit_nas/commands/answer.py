"""How every command answers: a text for people, or with `--json` one document on stdout."""

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import click

# What a terminal obeys, and JSON need not escape.
_CONTROLS: Final = re.compile("[\x7f-\x9f]")

Answered = TypeVar("Answered")


def itself(found: object) -> object:
    """Return what was found: most records are their own document."""
    return found


class Answer(NamedTuple, Generic[Answered]):
    """What a command found, and how it is said.

    Attributes:
        found: The result, a record.
        show: Prints it for people.
        document: Makes of it what JSON shows.
        code: What the command ends with.
    """

    found: Answered
    show: Callable[[Answered], None]
    document: Callable[[Answered], object] = itself
    code: int = 0


def answers(
    function: Callable[..., Answer[Any] | Iterable[Answer[Any]]],
) -> Callable[..., int]:
    """Add `--json` to a command, and print what it answers: its text, or its document.

    A command that yields answers has the text of each printed as it comes; the last one is the whole:
    its document is printed, and its code is the command's. One without any leaves the word to others.
    """

    @click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else."
    )
    @functools.wraps(function)
    def answering(*, as_json: bool, **options: Any) -> int:
        given = function(**options)
        last: Answer[Any] | None = None
        for last in (given,) if isinstance(given, Answer) else given:
            if not as_json:
                last.show(last.found)
        if last is None:
            return 0
        if as_json:
            echo_json(last.document(last.found))
        return last.code

    return answering


def one_or_list(documents: Sequence[object]) -> object:
    """Return a lone document as it is, and several as a list."""
    return documents[0] if len(documents) == 1 else documents


def echo_json(document: object) -> None:
    """Print a document as JSON on stdout."""
    from repvit_nas.files import encode_json

    click.echo(_CONTROLS.sub(_escaped, encode_json(document).decode()), nl=False)


def _escaped(control: re.Match[str]) -> str:
    """Return a control character as JSON may also write it."""
    return f"\\u{ord(control[0]):04x}"
