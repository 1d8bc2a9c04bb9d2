"""Options that would do nothing for a device are refused."""

import pytest

from repvit_nas.commands import _run


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--threads", "4"], "--threads"),
        (["--threads", "1", "--batch", "2", "--title", "Mine"], "--threads, --batch, --title"),
        (["--compile", "--providers", "X"], "--providers, --compile"),
        (["--runtime", "coreml"], "--runtime"),
    ],
)
@pytest.mark.parametrize("device", ["iphone12", "mac"])
def test_options_that_core_ml_does_not_take_are_refused(elsewhere, capsys, device, words, options):
    assert _run(["measure-lut", "--device", device, *words], debug=False) == 2

    said = capsys.readouterr().err
    how = "a Mac, timed by its own Core ML" if device == "mac" else "timed by Core ML"
    assert f"'{device}' is {how}: leave out {options}, which" in said
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mac", "--team", "T"], "its own Core ML: leave out --team, which"),
        (
            ["mac", "--export", "x", "--threads", "2"],
            "--export times nothing: leave out --threads,",
        ),
        (["iphone12", "--export", "x", "--runtime", "torch"], "nothing: leave out --runtime,"),
        (
            ["iphone12", "--export", "x", "--team", "T", "--minutes", "5", "--any-placement"],
            "--export times nothing: leave out --minutes, --team, --any-placement, which",
        ),
    ],
)
def test_options_that_an_export_or_a_mac_does_not_take_are_refused(elsewhere, capsys, words, said):
    assert _run(["measure-lut", "--device", *words], debug=False) == 2

    assert said in capsys.readouterr().err
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("words", [["--runtime", "coreml"], ["--export", "x"]])
def test_core_ml_times_core_ml_devices(elsewhere, capsys, words):
    assert _run(["measure-lut", "--device", "cpu", *words], debug=False) == 1

    said = capsys.readouterr().err
    assert f"{' '.join(words[: 2 - (words[0] == '--export')])} is for Core ML devices" in said
    assert "'cpu' is none; known: iphone" in said
    assert not list(elsewhere.iterdir())


PHONE_OPTIONS = ["--team", "TEAM1", "--udid", "x"]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["measure-lut", "--device", "cpu", *PHONE_OPTIONS], "--team, --udid"),
        (["measure-lut", "--device", "cpu", "--any-placement"], "--any-placement"),
        (["measure-lut", "--device", "mac", "--runtime", "torch", "--team", "T"], "--team"),
        (["measure", "repvit_m0_9", "--device", "cpu-epyc", *PHONE_OPTIONS], "--team, --udid"),
        (["validate", "--device", "cpu-epyc", "--udid", "x"], "--udid"),
    ],
)
def test_options_that_only_core_ml_takes_are_refused(elsewhere, capsys, words, options):
    assert _run(words, debug=False) == 2

    said = capsys.readouterr().err
    assert f"is not timed by Core ML: leave out {options}, which" in said
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    "words",
    [["measure-lut", "--device", "new"], ["validate", "--device", "cpu-epyc", "--space", "no"]],
)
def test_what_a_shell_profile_says_for_phones_is_no_mistake(elsewhere, monkeypatch, capsys, words):
    monkeypatch.setenv("REPVIT_NAS_TEAM", "TEAM1")
    monkeypatch.setenv("REPVIT_NAS_UDID", "x")

    assert _run(words, debug=False) == 1  # what is wrong is another thing

    assert "leave out" not in capsys.readouterr().err
