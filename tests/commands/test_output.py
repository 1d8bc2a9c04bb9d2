"""What every command says, wherever it is read."""

import contextlib
import io
import os
import re
import subprocess
import sys

import click
import pytest

from repvit_nas.commands import COMMANDS, cli
from repvit_nas.commands.options import escapes_allowed, progress_bar, split_resume
from repvit_nas.commands.streams import plain
from repvit_nas.report import text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_and_no_marks_of_its_own(name):
    command = cli.get_command(click.Context(cli), name)
    shown = command.get_help(click.Context(command, info_name=name))

    assert "\\b" not in shown
    assert re.search(r"^ *Examples?: *repvit-nas|^ *Examples?:$", shown, re.MULTILINE), shown


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "gbk"},
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_output_fits_every_code_page(environment):
    """`show` of a network prints a half, a plus-minus and a times sign."""
    clean = {k: v for k, v in os.environ.items() if k not in {"LC_ALL", "LANG", "PYTHONUTF8"}}
    for words in (["show", "repvit_m0_9"], ["show", "repvit_m0_½"]):
        done = subprocess.run(
            [sys.executable, "-m", "repvit_nas", *words],
            env=clean | environment,
            capture_output=True,
            check=False,
        )
        printed = (done.stdout + done.stderr).decode("latin-1")
        assert "UnicodeEncodeError" not in printed
        assert "unexpected" not in printed
        assert (done.returncode == 0) == (words[1] == "repvit_m0_9"), printed


def test_what_a_code_page_lacks_is_said_in_plain_characters(tmp_path):
    import codecs

    codecs.register_error("plain-here", plain)

    assert (
        "se ½, 70.0 ± 1.0, 3×3, 猫".encode("ascii", "plain-here") == b"se 1/2, 70.0 +- 1.0, 3x3, ?"
    )
    assert "±".encode("cp1252", "plain-here") == b"\xb1"  # what it has, it shows
    assert text.percent(70.0, 1.0) == "70.0 ± 1.0"


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys):
    with progress_bar(every_s=0.0) as progress:
        progress("epoch 1/2", 1, 1000)
        progress("epoch 2/2", 1000, 1000)
    with progress_bar(every_s=3600.0) as progress:
        progress("epoch 1/2", 7, 1000)

    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["epoch 1/2: 1 of 1,000", "epoch 2/2: 1,000 of 1,000"]
    assert printed.out == ""


@pytest.mark.parametrize(
    ("words", "rest", "resume"),
    [
        (["train", "net", "--resume"], ["train", "net"], "yes"),
        (["train", "--resume", "net"], ["train", "net"], "yes"),
        (["train", "--resume", "auto", "net"], ["train", "net"], "auto"),
        (["train", "net", "--resume=auto"], ["train", "net"], "auto"),
        (["train", "net", "--device", "auto"], ["train", "net", "--device", "auto"], None),
    ],
)
def test_resume_takes_auto_or_nothing(words, rest, resume):
    assert split_resume(words) == (rest, resume)


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


@pytest.mark.parametrize("words", [["devices"], ["family"], ["show", "repvit_m0_9"]])
@pytest.mark.parametrize("muted", [{"NO_COLOR": "1"}, {"CI": "true"}])
def test_a_muted_terminal_gets_no_escape_codes_and_its_width(words, muted):
    """In a real terminal of 80 columns."""
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "CI"}}
    running = subprocess.Popen(
        [sys.executable, "-m", "repvit_nas", *words],
        env=clean | {"TERM": "xterm-256color", "COLUMNS": "80"} | muted,
        stdout=child,
        stderr=subprocess.DEVNULL,
    )
    os.close(child)
    printed = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(parent, 4096):
            printed += part
    os.close(parent)

    assert running.wait() == 0
    assert b"\x1b" not in printed
    assert max(len(line) for line in printed.decode().splitlines()) <= 80
