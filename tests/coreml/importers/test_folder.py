"""Every report of a folder, and nothing else in it."""

import pytest
from xcode_reports import bundle, report

from repvit_nas.coreml.importers.folder import read_folder
from repvit_nas.errors import FileError


def test_a_folder_is_read_whole_and_its_own_files_are_not_reports(tmp_path):
    bundle(tmp_path / "deep", report())
    (tmp_path / "lab.csv").write_text("program,latency_ms\nb,1\n")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "plan.json").write_text("{}")
    inner = tmp_path / "programs" / "x.mlpackage"
    inner.mkdir(parents=True)
    (inner / "Manifest.json").write_text("{}")
    compiled = tmp_path / "programs" / "b.mlmodelc"  # as Xcode leaves one beside its package
    compiled.mkdir()
    (compiled / "metadata.json").write_text('[{"storagePrecision": "Float16"}]')

    names = {found.name for found in read_folder(tmp_path)}

    assert names == {"block-x2--12345678", "b"}


def test_a_folder_without_reports_says_what_is_wanted(tmp_path):
    with pytest.raises(FileError, match=r"holds no report; wanted are Xcode's NAME\.mlperf"):
        read_folder(tmp_path)
    with pytest.raises(FileError, match="must be a folder"):
        read_folder(tmp_path / "nowhere")
