"""The reference family beside a result."""

import pytest

from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.latency_lut.device import load_device
from repvit_nas.latency_lut.published import PUBLISHED_FILE, read_published
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.report.family_rows import decimals, family_input, family_rows

# Table 1 of the RepViT paper (arXiv:2307.09283): milliseconds on an iPhone 12.
PUBLISHED_MS = {
    "repvit_m0_9": 0.9, "repvit_m1_0": 1.0, "repvit_m1_1": 1.1, "repvit_m1_5": 1.5,
    "repvit_m2_3": 2.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows_of():
    published = read_published(load_device("iphone12").path(PUBLISHED_FILE))
    predictor, _ = load_predictor("iphone12")

    def rows(**changes):
        found = family_rows(published, predictor, load_family_estimator(), **changes)
        return {row.reference.name: row for row in found}

    return rows


@pytest.mark.parametrize(
    ("rounding", "places"), [(1.0, 0), (0.1, 1), (0.01, 2), (0.05, 1), (10, 0)]
)
def test_decimals_are_those_of_the_rounding(rounding, places):
    assert decimals(rounding) == places


def test_published_latencies_stand_beside_predicted_ones(rows_of):
    rows = rows_of()

    for name, milliseconds in PUBLISHED_MS.items():
        assert rows[name].published_ms == pytest.approx(milliseconds, abs=0.051)
        assert rows[name].latency.latency_ms == pytest.approx(milliseconds, rel=0.1)
        assert rows[name].published_top1 is not None
    assert family_input(list(rows.values())) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resolution": 192}, "at 192 px"),
        ({"num_classes": 100}, "with 100 classes"),
        ({"resolution": 512, "num_classes": 0}, "at 512 px as backbones"),
    ],
)
def test_of_another_input_or_output_the_published_accuracy_is_no_comparison(rows_of, changes, said):
    rows = rows_of(**changes)

    assert family_input(list(rows.values())) == said
    assert {row.published_top1 for row in rows.values()} == {None}


def test_published_backbones_are_compared_with_backbones(rows_of):
    backbones = rows_of(resolution=512, num_classes=0)
    classifiers = rows_of(resolution=512)

    assert any(row.published_ms for row in backbones.values())
    assert not any(row.published_ms for row in classifiers.values())
