"""What the words of a command line stand for."""

import sys

import pytest

from repvit_nas.commands.arguments import parse_budgets, repeated
from repvit_nas.errors import RepvitNasError


@pytest.mark.parametrize(
    ("text", "budgets"),
    [
        ("1.0", {"iphone12": 1.0}),
        ("iphone13=0.5", {"iphone13": 0.5}),
        ("iphone12=1.0,iphone13=0.9", {"iphone12": 1.0, "iphone13": 0.9}),
        ("1.0,iphone13=0.9", {"iphone12": 1.0, "iphone13": 0.9}),
    ],
)
def test_budgets_are_read(text, budgets):
    assert parse_budgets(text, "iphone12") == budgets


@pytest.mark.parametrize(
    "text", ["0", "-1", "nan", "inf", "-inf", "word", "", "a=", "=", "1,2", "a=1,a=2", "1;2"]
)
def test_absurd_budgets_are_refused(text):
    with pytest.raises(RepvitNasError):
        parse_budgets(text, "iphone12")


def test_a_line_is_repeated_without_how_it_is_printed(monkeypatch):
    words = ["search", "--json", "--budget-ms", "1", "--out", "a b", "--debug"]
    monkeypatch.setattr(sys, "argv", ["repvit-nas", *words])

    assert repeated() == "repvit-nas search --budget-ms 1 --out 'a b'"


def test_a_line_is_repeated_without_the_password_of_a_storage(monkeypatch):
    words = ["measure-accuracy", "--finals", "run", "--storage", "postgresql://me:geheim@host/nas"]
    monkeypatch.setattr(sys, "argv", ["repvit-nas", *words])

    assert "postgresql://me:" in repeated()
    assert "geheim" not in repeated()
