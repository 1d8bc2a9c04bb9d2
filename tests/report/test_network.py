"""A network row by row."""

import pytest

from repvit_nas.accuracy.family import load_family_estimator
from repvit_nas.predictors.predictor import load_predictor
from repvit_nas.report.network import describe, network_table
from repvit_nas.search_space.family import family


@pytest.fixture(scope="module")
def description():
    architecture = family()["repvit_m0_9"].architecture
    return describe(architecture, load_predictor("iphone12")[0], load_family_estimator(), "here")


def test_the_rows_add_up_to_the_network(description):
    assert sum(row.latency_ms for row in description.rows) + description.overhead_ms == (
        pytest.approx(description.latency_ms, abs=1e-5 * (1 + len(description.rows)))
    )
    assert description.peak_bytes == max(row.peak_bytes for row in description.rows)
    # As the paper prints it: 5.1 million parameters and 0.8 thousand million MACs, batch norm in it.
    assert description.params / 1e6 == pytest.approx(5.1, abs=0.1)
    assert description.macs / 1e9 == pytest.approx(0.8, abs=0.05)
    assert description.size_bytes == 2 * description.params
    assert {row.source for row in description.rows} == {"modelled"}


def test_the_published_accuracy_is_told_beside_the_estimated_one(description):
    assert description.observed == pytest.approx(78.7, abs=0.1)  # published for 300 epochs
    assert description.accuracy_source == "published"


def test_equal_rows_in_a_run_share_a_line(description):
    table = network_table(description)
    times = [int(cell) for cell in list(table.columns[1].cells)[:-1]]

    assert sum(times) == len(description.rows)
    assert max(times) > 1
    assert list(table.columns[1].cells)[-1] == str(len(description.rows))
