"""Published figures of dense tasks: each has its source."""

from repvit_nas.search_space.downstream import downstream, published_downstream
from repvit_nas.search_space.family import family


def test_every_figure_has_a_source_and_a_network_that_is_known():
    assert all(row.source and row.title for row in downstream())
    assert {row.network for row in downstream()} <= {*family(), ""}


def test_no_figure_is_there_twice():
    keys = [(row.title, row.output, row.metric) for row in downstream()]

    assert len(keys) == len(set(keys))


def test_figures_are_found_by_network_and_output():
    assert set(published_downstream("repvit_m1_5", "features")) == {"AP box", "AP mask", "mIoU"}
    assert published_downstream("repvit_m1_5", "sam") == {}
