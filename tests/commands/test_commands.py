import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from repvit_nas import __version__
from repvit_nas.commands import COMMANDS, cli


def test_every_command_has_help_with_an_example():
    for name in COMMANDS:
        done = CliRunner().invoke(cli, [name, "--help"])
        assert done.exit_code == 0
        assert f"Example: repvit-nas {name}" in done.output
        assert "--json" in done.output
        assert "--debug" in done.output


def test_the_list_says_of_each_command_what_its_own_help_begins_with():
    context = click.Context(cli)
    own = {name: cli.get_command(context, name).get_short_help_str(1000) for name in COMMANDS}

    assert own == COMMANDS
    listed = CliRunner().invoke(cli, ["--help"]).output
    assert [line.split()[0] for line in listed.partition("Commands:\n")[2].splitlines()] == [*own]


def test_the_version_is_told(invoke):
    code, out, _ = invoke("--version")

    assert (code, out.strip()) == (0, f"repvit-nas, version {__version__}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search"], ["--budget-ms", "repvit-nas search --help"]),
        (["search", "--budget-ms", "0"], ["above 0", "'0'"]),
        (["search", "--budget-ms", "fast"], ["above 0", "'fast'"]),
        (["search", "--budget-ms", "1", "--device", "nokia"], ["nokia", "iphone12"]),
        (["search", "--budget-ms", "1", "--space", "huge"], ["huge", "coarse"]),
        (["search", "--budget-ms", "1", "--space", "space.toml"], ["space.toml", "stages"]),
        (["search", "--budget-ms", "1", "--space", "none.toml"], ["none.toml", "cannot be read"]),
        (["search", "--budget-ms", "1", "--sampler", "magic"], ["magic", "nsga2, tpe, gp, random"]),
        (["search", "--budget-ms", "1", "--trials", "many"], ["--trials", "many"]),
        (["search", "--budget-ms", "1", "--trials", "-5"], ["trials", "-5"]),
        (["search", "--budget-ms", "1", "--timeout", "nan"], ["--timeout", "nan"]),
        (["search", "--budget-ms", "1", "--confidence", "2"], ["confidence", "2"]),
        (["search", "--budget-ms", "1", "--resolution", "64"], ["160 to 1024", "64"]),
        (["search", "--budget-ms", "1", "--storage", "nonsense"], ["nonsense", "cannot be opened"]),
        (["search", "--budget-ms", "1", "--out", "broken.json"], ["broken.json", "is a file"]),
        (["search", "--budget-ms", "1", "--resume"], ["no run to resume"]),
        (["predict"], ["ARCH", "repvit-nas predict --help"]),
        (["predict", "nothing"], ["'nothing' is no network", "repvit_m0_9"]),
        (["predict", "broken.json"], ["broken.json", "no valid JSON"]),
        (["predict", "old.json"], ["old.json", "`schema` must be 1", "got 0"]),
        (["predict", "outside.json"], ["stages[0].width", "got 8", "32 to 80", "--space"]),
        (["predict", "repvit_m0_9", "--device", "nokia"], ["nokia", "iphone12"]),
        (["predict", "repvit_m0_9", "--resolution", "8"], ["resolution", "got 8"]),
        (["predict", "repvit_m0_9", "nothing"], ["'nothing' is no network"]),
        (["predict", "repvit_m0_9", "--interval", "1.5"], ["above 0 and at most 0.9999", "1.5"]),
        (["show", "results/none:best"], ["none"]),
        (["fit", "--device", "nokia"], ["nokia"]),
        (["family", "--device", ""], ["device ''"]),
        (["search", "--budget-ms", "1", "--out", ""], ["--out must name a folder", "''"]),
        (["search", "--budget-ms", "1", "--out", "a" * 300], ["File name too long"]),
        (["show", "a" * 300], ["File name too long"]),
        (["search", "--budget-ms", "1", "--space", ""], ["space ''", "coarse, downsample, repvit"]),
        (["fly"], ["fly", "repvit-nas --help"]),
        (["search", "--fly"], ["--fly"]),
    ],
)
def test_nonsense_ends_in_one_clear_line(invoke, outside, arguments, words):
    code, out, err = invoke(*arguments)

    assert code in (1, 2)
    assert out == ""
    assert len([line for line in err.splitlines() if line.startswith("error:")]) == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert not (outside / "results").exists()


def test_without_a_command_the_help_is_shown(invoke):
    asked = invoke("--help")

    assert asked[1].startswith("Usage: repvit-nas")
    assert asked[1].count("\n") > 10
    assert invoke() == invoke("--debug") == asked


def test_a_closed_stdout_is_no_error(elsewhere):
    for command in ("family", "search --budget-ms 1.0 --trials 50"):
        done = subprocess.run(
            f"{sys.executable} -m repvit_nas {command} >&-",
            shell=True,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_debug_shows_the_traceback(invoke):
    for arguments in (["--debug", "predict", "nothing"], ["predict", "nothing", "--debug"]):
        code, _, err = invoke(*arguments)
        assert code == 1
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("error:")


def test_shell_completion_is_there():
    done = subprocess.run(
        [sys.executable, "-m", "repvit_nas"],
        env={"_REPVIT_NAS_COMPLETE": "bash_source", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )

    assert "complete -o nosort" in done.stdout
