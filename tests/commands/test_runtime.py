"""Options that would do nothing for a device are refused."""

import contextlib
import signal

import pytest

from repvit_nas.commands import _run
from repvit_nas.commands.runtime import stoppable


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


def test_an_interruption_that_a_library_swallowed_still_stops():
    """As one that arrives inside a callback does: it is printed there and forgotten."""
    seen, before = [], signal.getsignal(signal.SIGINT)
    with stoppable(lambda *report: seen.append(report)) as progress:
        progress("timing", 0, 9)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            progress("timing", 1, 9)

    assert seen == [("timing", 0, 9)]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_closed_terminal_and_kill_stop_as_ctrl_c_does(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    cleaned = False

    with (
        contextlib.suppress(KeyboardInterrupt),
        stoppable(lambda *_: None),
    ):
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)  # said twice: what is being cleaned up goes on
            cleaned = True

    assert cleaned
    assert signal.getsignal(number) is before


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable(lambda *_: None):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
