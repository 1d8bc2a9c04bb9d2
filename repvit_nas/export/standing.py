"""How the exported forms of a run stand: what was made of it, and what its files are now."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from repvit_nas.export.forms import export_fused
from repvit_nas.export.images import ComparedOn
from repvit_nas.export.records import (
    COREML_FILES,
    ONNX_FILE,
    ExportRecord,
    form_digest,
    read_export,
)
from repvit_nas.export.subject import Subject


class Standing(NamedTuple):
    """The exported forms of a run.

    Attributes:
        record: What was made and compared.
        now: The digest of each form's file as it is now, empty if it is missing, by the file's name.
        strange: Files of forms in the run's folder that the record does not know.
    """

    record: ExportRecord
    now: Mapping[str, str]
    strange: tuple[str, ...] = ()


def standing_forms(subject: Subject, folder: Path, images: ComparedOn, *, keep: bool) -> Standing:
    """Return how the forms of a run stand; where nothing was exported, the fused one is made.

    Args:
        subject: The run's network.
        folder: The run's.
        images: What forms are compared on.
        keep: Whether what is made stays in the run's folder; otherwise it is gone afterwards.

    Raises:
        RepvitNasError: The fused form is not the same network.
        FileError: A file cannot be read or written.
    """
    record = read_export(folder)
    if record is None:
        with nullcontext(folder) if keep else TemporaryDirectory(prefix="repvit-nas-") as place:
            record = export_fused(subject, Path(place), images)
        now = {form.file: form.digest for form in record.forms}
    else:
        now = {form.file: form_digest(folder / form.file) for form in record.forms}
    strange = (
        name
        for name in (ONNX_FILE, *COREML_FILES.values())
        if name not in now and (folder / name).exists()
    )
    return Standing(record, now, tuple(strange))
