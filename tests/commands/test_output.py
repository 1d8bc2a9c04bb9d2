"""What every command says, wherever it is read."""

import contextlib
import os
import re
import subprocess
import sys

import click
import pytest

from repvit_nas.commands import COMMANDS, cli
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
