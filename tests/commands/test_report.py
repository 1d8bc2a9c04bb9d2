"""`report`: runs as one page."""

import re

import pytest

from repvit_nas import data
from repvit_nas.commands import _run


@pytest.fixture(scope="module")
def shipped():
    return data.find("results", "iphone12-1.0ms", "run").path


def test_a_run_is_one_file_that_asks_nobody(shipped, tmp_path):
    out = tmp_path / "report.html"

    assert (
        _run(["report", str(shipped), "predictors/cpu-epyc", "--out", str(out)], debug=False) == 0
    )

    text = out.read_text()
    assert len(text) < 8_000_000
    ours = text[: text.index("<script>")] + text[text.index('type="application/json"') :]
    assert not re.search(r'(src|href)="|url\(|@import', ours)


def test_a_page_that_is_there_is_not_replaced_unasked(shipped, tmp_path, capsys):
    out = tmp_path / "report.html"
    out.write_text("mine")

    assert _run(["report", str(shipped), "--out", str(out)], debug=False) == 1
    assert out.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err


def test_a_folder_without_a_run_is_said(tmp_path, capsys):
    assert _run(["report", str(tmp_path), "--out", str(tmp_path / "x.html")], debug=False) == 1

    assert "holds no run" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()
