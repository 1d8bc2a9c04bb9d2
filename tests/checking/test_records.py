"""What checking leaves behind."""

import pytest

from repvit_nas.checking.records import (
    CheckRecord,
    Promise,
    relation,
    standard_error,
)
from repvit_nas.export.records import ExportRecord


@pytest.mark.parametrize(
    ("latency", "top1", "expected"),
    [
        (1.1, 79.0, "dominated by the variant"),
        (1.0, 79.0, "dominated by the variant"),
        (0.9, 81.0, "dominates the variant"),
        (0.9, 80.0, "dominates the variant"),
        (0.9, 79.0, "neither"),
        (1.0, 80.0, "neither"),
        (1.0, None, ""),
    ],
)
def test_one_network_dominates_another_by_being_no_slower_and_no_worse(
    latency, top1, expected, row
):
    assert relation(row(latency), top1, row(1.0, 80.0)) == expected


@pytest.mark.parametrize(
    ("found", "kept"),
    [((), True), ((True, None), True), ((None,), True), ((True, False, None), False)],
)
def test_what_cannot_be_checked_here_breaks_no_promise(found, kept, row):
    promises = tuple(Promise(name="x", kept=each, promised="", found="") for each in found)
    export = ExportRecord(digest="", forms=(), unfused_ms=2.0, fused_ms=1.0)
    record = CheckRecord(
        run="r", device="d", val_images=0, promises=promises, variant=row(1.0), family=(),
        export=export,
    )  # fmt: skip

    assert record.kept is kept
    assert standard_error(record) == 0.0  # of no images, none
