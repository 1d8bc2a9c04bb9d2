import pytest

from repvit_nas.words import number_of


@pytest.mark.parametrize(
    ("number", "what", "said"),
    [
        (1, "unit", "1 unit"),
        (0, "unit", "0 units"),
        (1, "shared latency", "1 shared latency"),
        (2, "shared latency", "2 shared latencies"),
    ],
)
def test_one_is_not_several(number, what, said):
    assert number_of(number, what) == said
