"""How numbers are written for people."""

from repvit_nas.report import text


def test_numbers_have_the_decimals_that_papers_print():
    assert text.milliseconds(0.874, 0.85, 0.9) == "0.87 (0.85-0.90)"
    assert text.percent(78.66) == "78.7"
    assert text.percent(78.66, 0.14) == "78.7 ± 0.1"
    assert text.millions(5_491_000) == "5.49"
    assert text.thousand_millions(816_000_000) == "0.82"


def test_an_accuracy_says_what_was_seen_beside_what_is_estimated():
    assert text.accuracy(78.66, 0.14, "estimated", None) == "78.7 ± 0.1"
    assert text.accuracy(78.66, 0.14, "published", 78.7) == "78.7 ± 0.1; published 78.70"
