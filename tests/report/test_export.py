"""What `export` prints of the forms of a network."""

import msgspec

from repvit_nas.export.records import ExportRecord, Form, Rounding
from repvit_nas.report.export import FORM_HEADER, export_lines, form_rows

FORM = Form(
    name="onnx", file="model.onnx", digest="d", size_bytes=5_490_000, error=1.23e-6, allowed=1e-4,
    agreement=99.9583, images=2400, ran="onnxruntime",
)  # fmt: skip
ROUNDING = Rounding(
    images=16, fusing=1e-15, fusing_allowed=1e-12, single=2e-6, weights=1e-6, factor=4.0,
    allowed=8e-6,
)  # fmt: skip
RECORD = ExportRecord(
    digest="w", forms=(FORM,), compared_on="validation images of digits", rounding=ROUNDING,
    unfused_ms=3.0, fused_ms=1.5,
)  # fmt: skip


def test_a_form_is_a_row_of_what_it_is_and_how_far_it_agrees():
    (row,) = form_rows(RECORD)

    assert dict(zip(FORM_HEADER, row, strict=True)) == {
        "form": "onnx",
        "file": "model.onnx",
        "MB": "5.49",
        "differs by": "1.2e-06",
        "at most": "1.0e-04",
        "agrees": "99.96 % of 2,400",
        "run by": "onnxruntime",
    }


def test_below_it_stands_what_was_compared_and_what_rounding_allows():
    compared, bound, latency = export_lines(RECORD)

    assert compared == "Compared on validation images of digits"
    assert "the training form by 2.0e-06 and the fused weights by 1.0e-06, on 16 images" in bound
    assert bound.endswith(": 4 times the larger is allowed")
    assert latency.endswith("3.00 ms unfused, 1.50 ms fused (2.00 x)")


def test_an_untrained_network_and_other_images_are_said_first():
    record = msgspec.structs.replace(
        RECORD, untrained=True, missing="--data x: is no folder", rounding=None
    )

    untrained, compared, _ = export_lines(record)

    assert "it knows nothing of any image" in untrained
    assert compared.endswith("not on validation images: --data x: is no folder")
