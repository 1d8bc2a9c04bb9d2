"""What an export leaves behind, and which file it is of."""

import msgspec
import pytest

from repvit_nas import files
from repvit_nas.errors import FileError
from repvit_nas.export.records import (
    EXPORT_FILE,
    ExportRecord,
    FewerBits,
    Form,
    fewer_bits_words,
    form_digest,
    read_export,
)

FORM = Form(
    name="onnx", file="model.onnx", digest="d", size_bytes=3, error=1e-6, allowed=1e-4,
    agreement=100.0, images=48, ran="onnxruntime",
)  # fmt: skip


def test_a_run_that_was_never_exported_has_no_record(tmp_path):
    assert read_export(tmp_path) is None


def test_a_record_survives_its_file_and_another_is_named(tmp_path):
    record = ExportRecord(digest="w", forms=(FORM,), unfused_ms=2.0, fused_ms=1.0)
    files.write_json(tmp_path / EXPORT_FILE, record)
    assert read_export(tmp_path) == record

    (tmp_path / EXPORT_FILE).write_text('{"schema": 1, "forms": []}')

    with pytest.raises(FileError, match=r"export\.json"):
        read_export(tmp_path)


def test_a_form_is_known_by_all_its_bytes(tmp_path):
    """A file, or a folder of files such as a package."""
    file, package = tmp_path / "model.onnx", tmp_path / "model.mlpackage"
    file.write_bytes(b"abc")
    (package / "Data").mkdir(parents=True)
    (package / "Data" / "weight.bin").write_bytes(b"abc")
    (package / "Manifest.json").write_bytes(b"{}")
    before = form_digest(file), form_digest(package)

    (package / "Data" / "weight.bin").write_bytes(b"abd")

    assert form_digest(file) == before[0] != before[1]
    assert form_digest(package) not in ("", before[1])
    assert form_digest(tmp_path / "nothing") == ""


def test_fewer_bits_say_what_they_change_of_scores_and_of_maps():
    maps = FewerBits(bits=6, stored=99.5, change=0.0123)
    scores = msgspec.structs.replace(maps, top1=79.5, top1_before=80.0, top1_images=5000)

    said = "99.5 % of the weights in 6 bits, answers change by 1.2e-02, "
    assert fewer_bits_words(maps) == f"{said}accuracy not taken"
    assert fewer_bits_words(scores) == f"{said}top-1 79.50 % instead of 80.00 % of 5,000 images"
