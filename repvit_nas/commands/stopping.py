"""How a session is stopped: by Ctrl-C, by `kill` and by a terminal that closes alike."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from repvit_nas.words import Progress


@contextmanager
def stoppable(progress: Progress) -> Iterator[Progress]:
    """Make sure that Ctrl-C stops a session, and that a closed terminal or `kill` stops it alike.

    An interruption that arrives inside a library's callback is printed and forgotten there; so it is
    remembered, and the next report of progress stops. A terminal that closes may say so twice: the
    second time does not interrupt what is being cleaned up. What was ignored, as under nohup, stays so.
    """
    asked = False

    def stop(number: int, _frame: object) -> None:
        nonlocal asked
        if asked and number != signal.SIGINT:
            return
        asked = True
        raise KeyboardInterrupt

    def checked(doing: str, done: int, total: int) -> None:
        if asked:
            raise KeyboardInterrupt
        progress(doing, done, total)

    before = {signal.SIGINT: signal.getsignal(signal.SIGINT)}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # not every system knows both
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.getsignal(number)
    try:
        for number in before:
            signal.signal(number, stop)
        yield checked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
