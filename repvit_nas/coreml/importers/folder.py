"""Every report in a folder, whatever its format."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from repvit_nas import files
from repvit_nas.coreml.importers import melange, runlocal, xctest
from repvit_nas.coreml.importers.generic import OWN_FILES, read_csv, read_json
from repvit_nas.coreml.importers.imported import Imported
from repvit_nas.coreml.importers.xcode import BUNDLE, read_report
from repvit_nas.errors import FileError

# Folders that hold a model, as an export writes it or Core ML compiles it: no reports are in them.
_MODELS: Final = (".mlpackage", ".mlmodelc")


def read_folder(folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> list[Imported]:
    """Read every report of a folder: of Xcode, XCTest, RunLocal and Melange, and CSV and JSON files.

    Args:
        folder: The folder.
        wanted: Tells whether a name of a model is the device's, where a report is of many.

    Raises:
        FileError: There is none, or one is not valid; the message names the file and what is
            missing.
    """
    if not folder.is_dir():
        raise FileError(f"{folder}: must be a folder with reports")
    found: list[Imported] = []
    for path in sorted(folder.rglob("*")):
        parents = path.relative_to(folder).parents
        inside = any(parent.suffix in (BUNDLE, xctest.BUNDLE, *_MODELS) for parent in parents)
        if inside or path.name in OWN_FILES:
            continue
        if path.suffix in (BUNDLE, xctest.BUNDLE, ".csv", ".json"):
            files.inside(folder, path)
        found += _reports(path, wanted)
    if not found:
        raise FileError(
            f"{folder}: holds no report; wanted are Xcode's NAME.mlperf, NAME{xctest.BUNDLE}, "
            f"NAME{runlocal.SUFFIX}, NAME{melange.SUFFIX}, or CSV or JSON files with `program` and "
            "`latency_ms` or `samples_ms`"
        )
    return found


def _reports(path: Path, wanted: Callable[[str], bool]) -> list[Imported]:
    """Read what a path holds, by its name; the summary of a test is read with the metrics beside it."""
    readers: dict[str, Callable[[Path], list[Imported]]] = {
        BUNDLE: lambda bundle: [read_report(bundle)],
        xctest.BUNDLE: xctest.read_bundle,
        xctest.SUMMARY: lambda _: [],
        xctest.METRICS: xctest.read_printed,
        runlocal.SUFFIX: lambda file: [runlocal.read_result(file)],
        melange.SUFFIX: lambda file: [melange.read_report(file, wanted)],
        ".csv": read_csv,
        ".json": read_json,  # after all that end so too
    }
    ending = next((each for each in readers if path.name.endswith(each)), None)
    bundle = ending in (BUNDLE, xctest.BUNDLE)
    if ending is None or not (bundle or path.is_file()):
        return []
    return readers[ending](path)
