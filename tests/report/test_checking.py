"""The tables of `check`."""

import io

import msgspec
from PIL import Image

from repvit_nas.checking.records import CheckRecord, ComparedNetwork, Promise
from repvit_nas.export.records import ExportRecord
from repvit_nas.report.checking import (
    chance_line,
    drawn_family,
    family_table,
    measured_lines,
    promise_rows,
)


def network(name, latency, top1, **more):
    return ComparedNetwork(
        name=name, params=4_710_000, macs=816_000_000, latency_ms=latency, low_ms=latency - 0.02,
        high_ms=latency + 0.02, source="modelled", top1=top1, **more,
    )  # fmt: skip


RECORD = CheckRecord(
    run="r", device="iphone12", val_images=360, variant=network("mine", 0.9, 97.0),
    promises=tuple(
        Promise(name=name, kept=kept, promised="p", found="f")
        for name, kept in (("a", True), ("b", False), ("c", None))
    ),
    family=(
        network("m0.9", 0.87, None, published_ms=0.87, published_top1=78.7, relation="neither"),
    ),
    export=ExportRecord(digest="w", forms=(), unfused_ms=3.0, fused_ms=1.5),
)  # fmt: skip


def test_a_broken_promise_stands_out():
    assert [row[1] for row in promise_rows(RECORD)] == ["yes", "BROKEN", "not checked"]


def test_the_family_stands_below_the_variant_with_what_was_published():
    header, rows = family_table(RECORD)
    mine, other = (dict(zip(header, row, strict=True)) for row in rows)

    assert mine == {
        "network": "mine",
        "M params": "4.71",
        "M MACs": "816.0",
        "ms predicted": "0.90 (0.88-0.92)",
        "top-1 % here": "97.00",
        "ms published": "",
        "top-1 % published": "",
        "relation": "",
    }
    assert other["top-1 % here"] == ""
    assert (other["ms published"], other["top-1 % published"]) == ("0.87", "78.7")
    assert other["relation"] == "neither"


def test_chance_is_told_where_images_were_counted():
    """97 % of 360: the square root of 0.97 x 0.03 / 360 is 0.0090."""
    assert "360 images is 0.90 points" in chance_line(RECORD)
    assert chance_line(msgspec.structs.replace(RECORD, val_images=0)) == ""


def test_what_was_timed_says_where():
    here = "One image by torch on one thread here: 3.00 ms unfused, 1.50 ms fused"
    assert measured_lines(RECORD) == [here]
    timed = msgspec.structs.replace(RECORD, measured_ms=0.91)
    assert measured_lines(timed)[0] == "Measured on iphone12: 0.91 ms"
    off = msgspec.structs.replace(timed, off_engine=True)
    assert measured_lines(off)[0].endswith("0.91 ms, not all of it on the Neural Engine")
    missing = msgspec.structs.replace(RECORD, not_measured="no Mac")
    assert measured_lines(missing) == ["Not measured: no Mac", here]


def test_a_picture_needs_two_networks_that_were_trained():
    assert drawn_family([RECORD.variant, *RECORD.family], RECORD) is None

    picture = drawn_family([RECORD.variant, network("m0.9", 0.87, 96.0)], RECORD)

    with Image.open(io.BytesIO(picture)) as drawn:
        assert drawn.format == "PNG"


def test_latencies_with_weights_of_fewer_bits_are_a_column_where_a_form_has_them():
    fewer = network("mine", 0.9, 97.0, fewer_bits_ms={"8": 0.71, "6": 0.69})
    header, rows = family_table(msgspec.structs.replace(RECORD, variant=fewer))

    assert dict(zip(header, rows[0], strict=True))["ms modelled (bits)"] == "0.71 (8), 0.69 (6)"
    assert "ms modelled (bits)" not in family_table(RECORD)[0]
