"""Importers: one file a format; each turns what others timed into the same records."""

from pathlib import Path
from typing import NamedTuple

from repvit_nas.errors import FileError


class Imported(NamedTuple):
    """One program's latencies in somebody's report.

    Attributes:
        name: Of the program, as the report calls it, without suffix.
        series: Milliseconds of the calls.
        tool: What timed it.
        model: The device's model as the report calls it; empty where it does not say.
        system: The operating system; empty where it does not say.
        compute_units: Which processors Core ML was allowed to use; empty where it does not say.
        operations: Each operation's name, preferred processor and cost, where the report says so.
        origin: The file, for messages.
    """

    name: str
    series: tuple[float, ...]
    tool: str
    model: str
    system: str
    compute_units: str
    operations: tuple[tuple[str, str, float | None], ...]
    origin: str


def read_folder(folder: Path) -> list[Imported]:
    """Read every report of a folder: `*.mlperf`, and CSV and JSON files of latencies.

    Raises:
        FileError: There is none, or one is not valid; the message names the file and what is
            missing.
    """
    from repvit_nas.latency_lut.importers.generic import OWN_FILES, read_csv, read_json
    from repvit_nas.latency_lut.importers.xcode import BUNDLE, read_report

    if not folder.is_dir():
        raise FileError(f"{folder}: must be a folder with reports")
    found: list[Imported] = []
    for path in sorted(folder.rglob("*")):
        inside = any(parent.suffix == BUNDLE for parent in path.relative_to(folder).parents)
        if inside or path.name in OWN_FILES or ".mlpackage" in str(path.relative_to(folder)):
            continue
        if path.suffix == BUNDLE:
            found.append(read_report(path))
        elif path.suffix == ".csv" and path.is_file():
            found += read_csv(path)
        elif path.suffix == ".json" and path.is_file():
            found += read_json(path)
    if not found:
        raise FileError(
            f"{folder}: holds no report; wanted are Xcode's NAME.mlperf, or CSV or JSON files with "
            "`program` and `latency_ms` or `samples_ms`"
        )
    return found
