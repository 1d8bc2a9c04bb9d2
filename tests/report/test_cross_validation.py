"""The table and the picture of a cross-validation."""

import io
import json

import pytest
from PIL import Image
from support import ROOT

from repvit_nas.predictors.validation import read_validation
from repvit_nas.report.cross_validation import (
    SUMMARY_HEADER,
    cross_validation_picture,
    summary_cells,
    summary_table,
)

SHIPPED = ROOT / "predictors" / "iphone12" / "validation.json"


@pytest.fixture(scope="module")
def validation():
    return read_validation(SHIPPED)


def test_a_group_s_cells_are_what_the_file_says(validation):
    written = json.loads(SHIPPED.read_text())["summaries"]["repvit"]

    cells = summary_cells(validation, "repvit")

    assert len(cells) == 1 + len(SUMMARY_HEADER)
    assert cells[0] == str(written["networks"])
    assert float(cells[1]) == pytest.approx(written["in_sample_percent"], abs=0.051)
    assert float(cells[3]) == pytest.approx(written["without_family_percent"], abs=0.051)
    assert float(cells[5]) == pytest.approx(written["coverage_percent"], abs=0.51)


def test_the_table_has_every_group(validation):
    table = summary_table(validation)

    assert table.row_count == len(json.loads(SHIPPED.read_text())["summaries"])
    assert table.title == "iphone12: mean error in %"


def test_the_same_validation_gives_the_same_picture(validation):
    picture = cross_validation_picture(validation)

    with Image.open(io.BytesIO(picture)) as drawn:
        assert drawn.size == (7 * 120, 6 * 120)
    assert cross_validation_picture(validation) == picture
