import pytest

from repvit_nas.words import number_of, printable


@pytest.mark.parametrize(
    ("number", "what", "said"),
    [
        (1, "unit", "1 unit"),
        (0, "unit", "0 units"),
        (1, "shared latency", "1 shared latency"),
        (2, "shared latency", "2 shared latencies"),
        (2, "class", "2 classes"),
    ],
)
def test_one_is_not_several(number, what, said):
    assert number_of(number, what) == said


def test_thousands_are_grouped_where_asked():
    assert number_of(12_000, "image", grouped=True) == "12,000 images"


def test_a_name_is_printed_without_what_a_terminal_obeys():
    assert printable("Füchse/1.jpg") == "Füchse/1.jpg"
    assert printable("a\x1b[2J") == "a\\x1b[2J"
    assert printable("caf\udce9") == "caf\\udce9"
