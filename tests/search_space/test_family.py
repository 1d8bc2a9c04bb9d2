import pytest

from repvit_nas.errors import UnknownNameError
from repvit_nas.search_space import family, reference
from repvit_nas.search_space.family import published_accuracies, published_top1

# arXiv:2307.09283v8 Table 1, 300 epochs.
TABLE_1 = {
    "repvit_m0_9": 78.7,
    "repvit_m1_0": 80.0,
    "repvit_m1_1": 80.7,
    "repvit_m1_5": 82.3,
    "repvit_m2_3": 83.3,
}


def test_the_family_is_there_in_order():
    assert list(family()) == [
        "repvit_m0_6",
        "repvit_m0_9",
        "repvit_m1_0",
        "repvit_m1_1",
        "repvit_m1_5",
        "repvit_m2_3",
        "repvit_m1",
        "repvit_m2",
        "repvit_m3",
    ]


@pytest.mark.parametrize(("name", "top1"), TABLE_1.items())
def test_accuracies_round_to_the_papers(name, top1):
    row = published_top1(name)

    assert row is not None
    assert round(row.top1, 1) == top1
    assert row.source


def test_rows_of_a_reference_have_its_shape():
    for row in published_accuracies():
        if row.network in family():
            assert row.architecture == reference(row.network).architecture


def test_an_unknown_network_is_answered_with_the_known():
    with pytest.raises(UnknownNameError, match="repvit_m0_9"):
        reference("repvit_m7")
