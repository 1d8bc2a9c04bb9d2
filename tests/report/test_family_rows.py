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
    ],
)
def test_of_another_input_or_classes_the_published_accuracy_is_no_comparison(
    rows_of, changes, said
):
    rows = rows_of(**changes)

    assert family_input(list(rows.values())) == said
    assert {row.published_top1 for row in rows.values()} == {None}


def test_published_backbones_are_compared_with_backbones(rows_of):
    backbones = rows_of(resolution=512, num_classes=0)
    classifiers = rows_of(resolution=512)

    assert any(row.published_ms for row in backbones.values())
    assert not any(row.published_ms for row in classifiers.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resolution": 512, "num_classes": 0}, "at 512 px as backbones"),
        ({"resolution": 1024, "num_classes": 0, "output": "sam"}, "at 1024 px as sam encoders"),
    ],
)
def test_maps_are_judged_as_the_classifiers_that_were_published(rows_of, changes, said):
    maps, classifiers = rows_of(**changes), rows_of()

    assert family_input(list(maps.values())) == said
    for name, row in maps.items():
        assert row.published_top1 == classifiers[name].published_top1
        assert row.accuracy == classifiers[name].accuracy


def test_published_figures_of_dense_tasks_stand_beside(rows_of):
    """Table 5 of the paper, and Table 3: AP of RepViT-SAM and its encoder's milliseconds."""
    backbones = rows_of(resolution=512, num_classes=0)
    encoders = rows_of(resolution=1024, num_classes=0, output="sam")

    assert backbones["repvit_m1_1"].downstream["AP box"].value == 39.8
    assert backbones["repvit_m2_3"].downstream["mIoU"].value == 46.1
    assert backbones["repvit_m0_9"].downstream == {}
    assert encoders["repvit_m2_3"].downstream["AP"].value == 44.4
    assert encoders["repvit_m2_3"].published_ms == 48.9
    assert encoders["repvit_m2_3"].document()["published AP"] == 44.4
