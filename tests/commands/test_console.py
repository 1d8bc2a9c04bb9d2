"""Tables and lines on stdout, progress on stderr."""

import io

import pytest

from repvit_nas.commands.console import escapes_allowed, progress_bar, show
from repvit_nas.report.tables import Grid


def test_tables_and_lines_are_shown_in_their_order(capsys):
    table = Grid.of("The title", ("name", "ms"), [("one", "1.0"), ("two", "2.0")])

    show("before", table, "after [bold]")

    first, *shown, last = capsys.readouterr().out.splitlines()
    assert (first, last) == ("before", "after [bold]")
    assert "The title" in shown[0]
    assert [line for line in shown if "one" in line and "1.0" in line]


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys):
    with progress_bar(every_s=0.0) as progress:
        progress("epoch 1/2", 1, 1000)
        progress("epoch 2/2", 1000, 1000)
    with progress_bar(every_s=3600.0) as progress:
        progress("epoch 1/2", 7, 1000)

    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["epoch 1/2: 1 of 1,000", "epoch 2/2: 1,000 of 1,000"]
    assert printed.out == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"CI": "true"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_and_bars_are_for_terminals_that_nobody_muted(monkeypatch, environment, allowed):
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert escapes_allowed(Terminal()) is allowed
    assert not escapes_allowed(io.StringIO())
    assert not escapes_allowed(None)
