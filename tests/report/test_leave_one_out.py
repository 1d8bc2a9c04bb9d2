"""The table of a device that is like another."""

import io

import msgspec
from PIL import Image

from repvit_nas.predictors.validation import LeaveOneOut, LeftOutCheck
from repvit_nas.report.leave_one_out import (
    LEFT_OUT_HEADER,
    leave_one_out_picture,
    left_out_rows,
    left_out_summary,
    left_out_table,
)

ALONE = LeaveOneOut(
    device="pixel8", like="iphone12", times=11.25, misfit_percent=4.25, error_percent=None,
    coverage_percent=None, checks=(LeftOutCheck("repvit_m0_9", 224, "stopwatch", 9.8),),
)  # fmt: skip
SEVERAL = msgspec.structs.replace(
    ALONE,
    error_percent=3.04,
    coverage_percent=50.0,
    checks=(
        LeftOutCheck("repvit_m0_9", 224, "stopwatch", 10.0, 10.5, 9.0, 12.0),
        LeftOutCheck("repvit_m1_0", 224, "stopwatch", 12.0, 11.4, 10.0, 13.0),
    ),
)


def test_a_row_says_what_the_others_make_of_it():
    first, second = (dict(zip(LEFT_OUT_HEADER, row, strict=True)) for row in left_out_rows(SEVERAL))

    assert first == {
        "network": "repvit_m0_9",
        "px": "224",
        "tool": "stopwatch",
        "ms given": "10",
        "ms without it (90 %)": "10.5 (9-12)",
        "error %": "+5.0",
    }
    assert second["error %"] == "-5.0"
    assert len(left_out_table(SEVERAL).rows) == 2


def test_of_one_network_nothing_is_known_of_the_error():
    ((*_, predicted, error),) = left_out_rows(ALONE)

    assert (predicted, error) == ("", "")
    assert "11.25 times as long as on iphone12, whose predictor" in left_out_summary(ALONE)
    assert "More networks than one would say how far off" in left_out_summary(ALONE)
    assert "mean error 3.0 %, 50 % inside the 90 % interval" in left_out_summary(SEVERAL)


def test_a_picture_is_drawn_of_one_as_of_several():
    for found in (ALONE, SEVERAL):
        with Image.open(io.BytesIO(leave_one_out_picture(found))) as drawn:
            assert drawn.size == (6 * 120, int(5.5 * 120))
