"""The table and the picture of a cross-validation."""

import io
import json

import pytest
from PIL import Image
from support import ROOT

from repvit_nas.predictors.validation import Probe, Probed, read_validation
from repvit_nas.report.cross_validation import (
    SUMMARY_HEADER,
    cross_validation_picture,
    cross_validation_tables,
    probe_cells,
    summary_cells,
)

SHIPPED = ROOT / "predictors" / "iphone12" / "validation.json"


@pytest.fixture(scope="module")
def validation():
    return read_validation(SHIPPED)


def test_a_group_s_cells_are_what_the_file_says(validation):
    written = json.loads(SHIPPED.read_text())["summaries"]["repvit"]

    cells = summary_cells(validation.summaries["repvit"])

    assert len(cells) == 1 + len(SUMMARY_HEADER)
    assert cells[0] == str(written["networks"])
    assert float(cells[1]) == pytest.approx(written["in_sample_percent"], abs=0.051)
    assert float(cells[3]) == pytest.approx(written["without_family_percent"], abs=0.051)
    assert float(cells[5]) == pytest.approx(written["coverage_percent"], abs=0.51)


def test_there_is_a_row_for_every_group_and_every_probe(validation):
    written = json.loads(SHIPPED.read_text())

    tables = cross_validation_tables(validation)

    parts = ("summaries", "rates_free", "probes")
    assert [len(table.rows) for table in tables] == [len(written[part]) for part in parts]


def test_a_probe_says_how_many_steps_go_the_right_way():
    """Published 0.83, 0.87 and 0.92 ms; the second step is predicted backwards."""

    def probed(name, published, predicted, after=""):
        return Probed(name, published, predicted, predicted - 0.1, predicted + 0.1, after)

    checks = (
        probed("a", 0.83, 0.80), probed("b", 0.87, 0.86, "a"), probed("c", 0.92, 0.85, "b"),
    )  # fmt: skip

    cells = probe_cells(Probe("variants", 3.25, 66.7, checks))

    assert cells == ["variants", "3", "3.2", "67", "1 of 2 in the right direction"]


def test_the_same_validation_gives_the_same_picture(validation):
    picture = cross_validation_picture(validation)

    with Image.open(io.BytesIO(picture)) as drawn:
        assert drawn.size == (7 * 120, 6 * 120)
    assert cross_validation_picture(validation) == picture
