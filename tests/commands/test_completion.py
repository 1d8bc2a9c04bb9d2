"""What a shell completes, as it asks for it: by environment variables, one line an answer."""

import os
import subprocess
import sys

import pytest


def completed(folder, line, shell="zsh"):
    words = line.split(" ")
    asked = {
        "_REPVIT_NAS_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "from repvit_nas.commands import cli; cli(prog_name='repvit-nas')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | asked,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    return done.stdout.split("\n")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("repvit-nas search --sampler ns", ["nsga2"]),
        ("repvit-nas search --space co", ["coarse"]),
        ("repvit-nas predict repvit_m0_9 --device iphone1", ["iphone12", "iphone13"]),
        ("repvit-nas compare a b --device iphone12,cpu", ["iphone12,cpu-epyc"]),
        ("repvit-nas show repvit_m0", ["repvit_m0_6", "repvit_m0_9"]),
        ("repvit-nas show results/iph", ["results/iphone12-1.0ms:best"]),
        ("repvit-nas show results/iphone12-1.0ms:b", ["results/iphone12-1.0ms:best"]),
        ("repvit-nas train repvit_m0_9 --recipe qu", ["quick"]),
        ("repvit-nas compa", ["compare"]),
    ],
)
def test_values_are_completed(elsewhere, line, found):
    assert set(found) <= set(completed(elsewhere, line))


@pytest.mark.parametrize("command", ["show", "compare"])
def test_bash_completes_winners_though_it_breaks_words_at_colons(elsewhere, command):
    line = f"repvit-nas {command} results/iphone12-1.0ms :"

    for words in (line, f"{line} b"):
        assert "plain,best" in completed(elsewhere, words, shell="bash")
    assert "plain,best" not in completed(elsewhere, f"{line} iph", shell="bash")


def test_steps_of_the_path_are_completed(elsewhere):
    assert "path:3b" in "".join(completed(elsewhere, "repvit-nas show path:3"))


def test_a_run_that_is_not_there_completes_to_nothing(elsewhere):
    assert completed(elsewhere, "repvit-nas show results/none:") == ["", ""]


def test_a_folder_is_completed_as_a_path(elsewhere):
    assert "file" in completed(elsewhere, "repvit-nas show ./")
