"""How a session is stopped."""

import contextlib
import signal

import pytest

from repvit_nas.commands.stopping import stoppable


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
