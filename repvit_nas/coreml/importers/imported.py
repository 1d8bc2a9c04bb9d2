"""What an importer returns: one program's latencies in somebody's report, checked."""

from typing import Final, NamedTuple

from repvit_nas.errors import FileError
from repvit_nas.files import shown
from repvit_nas.latency_lut.device import CORE_ML

# What a network can take: from far below the cost of any call to a quarter of an hour.
POSSIBLE_MS: Final = (1e-4, 1e6)
# Four of them and a digest are the name of a series' folder.
LONGEST_WORDS: Final = 56


class Imported(NamedTuple):
    """One program's latencies in somebody's report.

    Attributes:
        name: Of the program, as the report calls it, without suffix.
        samples: Milliseconds of the calls.
        tool: What timed it.
        model: The device's model as the report calls it; empty where it does not say.
        system: The operating system; empty where it does not say.
        compute_units: Which processors Core ML was allowed to use; empty where it does not say.
        operations: Each operation's name, preferred processor and cost, where the report says so.
        origin: The file, for messages.
        runtime: What ran it: Core ML, or another that is never pooled with it.
    """

    name: str
    samples: tuple[float, ...]
    tool: str
    model: str
    system: str
    compute_units: str
    operations: tuple[tuple[str, str, float | None], ...]
    origin: str
    runtime: str = CORE_ML


def on_a_device(origin: str, *words: str) -> None:
    """Raise if what a report says of its device is a simulator's.

    Raises:
        FileError: It is one: that runs on the processor of a Mac.
    """
    for text in words:
        if "simulator" in text.lower():
            raise FileError(
                f"{origin}: was made on a simulator ({shown(text)}), which runs on the Mac's processor: "
                "time a device"
            )


def checked(report: Imported) -> Imported:
    """Return a report whose figures and words can be true.

    Raises:
        FileError: A latency is beyond anything that a network takes, or a word is longer than a
            series' name takes.
    """
    least, most = POSSIBLE_MS
    absurd = next((value for value in report.samples if not least <= value <= most), None)
    if absurd is not None:
        raise FileError(
            f"{report.origin}: latencies must be between {least:g} and {most:g} ms; got {absurd:g} ms: "
            "see which unit they are in"
        )
    for field in ("tool", "model", "system", "compute_units"):
        words = getattr(report, field)
        if len(words.encode()) > LONGEST_WORDS or not words.isprintable():
            raise FileError(
                f"{report.origin}: {field} must be one line of at most {LONGEST_WORDS} bytes; got "
                f"{shown(words)}"
            )
    return report
