"""Every report in a folder, whatever its format."""

from pathlib import Path
from typing import Final

from repvit_nas import files
from repvit_nas.coreml.importers.generic import OWN_FILES, read_csv, read_json
from repvit_nas.coreml.importers.imported import Imported
from repvit_nas.coreml.importers.xcode import BUNDLE, read_report
from repvit_nas.errors import FileError

# Folders that hold a model, as an export writes it or Core ML compiles it: no reports are in them.
_MODELS: Final = (".mlpackage", ".mlmodelc")


def read_folder(folder: Path) -> list[Imported]:
    """Read every report of a folder: `*.mlperf`, and CSV and JSON files of latencies.

    Raises:
        FileError: There is none, or one is not valid; the message names the file and what is
            missing.
    """
    if not folder.is_dir():
        raise FileError(f"{folder}: must be a folder with reports")
    found: list[Imported] = []
    for path in sorted(folder.rglob("*")):
        parents = path.relative_to(folder).parents
        inside = any(parent.suffix in (BUNDLE, *_MODELS) for parent in parents)
        if inside or path.name in OWN_FILES:
            continue
        if path.suffix in (BUNDLE, ".csv", ".json"):
            files.inside(folder, path)
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
