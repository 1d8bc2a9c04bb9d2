"""The tables of a measured device."""

import json

import msgspec
import pytest
from support import ROOT

from repvit_nas.predictors.validation import read_validation
from repvit_nas.report.held_out import SCORE_HEADER, curve_rows, score_rows, summary
from repvit_nas.report.validation import validation_parts

SHIPPED = ROOT / "predictors" / "cpu-epyc" / "validation.json"


@pytest.fixture(scope="module")
def found():
    return read_validation(SHIPPED)


@pytest.fixture(scope="module")
def written():
    return json.loads(SHIPPED.read_text())


def test_predictor_and_baselines_have_a_row_each(found, written):
    rows = [dict(zip(SCORE_HEADER, row, strict=True)) for row in score_rows(found)]

    assert [row["predictor"] for row in rows] == list(written["scores"])
    for row, score in zip(rows, written["scores"].values(), strict=True):
        assert float(row["RMSPE %"]) == pytest.approx(score["rmspe"], abs=0.0051)
        assert row["bias %"][0] in "+-"
        assert row["within 5 %"] == f"{score['within_5']:.0f} %"


def test_the_curve_has_a_column_for_each_device_to_start_from(found, written):
    point = msgspec.structs.replace(found.curve[0], transferred={"other": 3.14159})

    header, rows = curve_rows(msgspec.structs.replace(found, curve=(point,)))

    assert header == ["units timed", "RMSPE %", "starting from other"]
    first = written["curve"][0]
    assert rows == [[str(first["units"]), f"{first['rmspe']:.2f}", "3.14"]]


def test_without_a_curve_there_is_one_table(found):
    assert len(validation_parts(found)) == 2 + 1  # and the summary
    assert len(validation_parts(msgspec.structs.replace(found, curve=()))) == 1 + 1


def test_the_sentence_says_whether_noise_is_known(found, written):
    assert (
        f"Noise floor (what the networks' own figures are off by): {written['noise_floor']:.2f} %"
        in (summary(found))
    )
    assert f"{written['units']} units and {written['calibration']} other networks" in summary(found)
    assert "off by): not known RMSPE" in summary(msgspec.structs.replace(found, noise_floor=None))
