import io

import pytest
from rich.console import Console

from repvit_nas.report.tables import Column, Grid, fit, html, markdown, terminal

NAMES = ["iphone12-0.9987ms", "iphone12-0.9987ms-2"]


def grid(devices=1):
    latencies = (
        Column(
            f"ms on device{n} (90 % interval)",
            ["1.00 (0.93-1.07)"] * 2,
            right=True,
            short=(f"ms on device{n}", ["1.00"] * 2),
        )
        for n in range(devices)
    )
    return Grid(
        "Winners",
        (
            Column("network", NAMES),
            *latencies,
            Column("top-1 %", ["80.5 ± 0.4"] * 2, right=True),
            Column("M params", ["6.56"] * 2, right=True, drop=1),
            Column("shape", ["64-136-256-416 / 2-2-13-1 / se ½-½-½-0 / x2"] * 2, drop=2),
        ),
    )


def printed(shown, width):
    screen = Console(file=io.StringIO(), width=width)
    for table in terminal(shown, width):
        screen.print(table)
    return screen.file.getvalue()


def test_a_wide_terminal_shows_every_column():
    assert [part.header for part in fit(grid(), 140)] == [grid().header]


def test_at_80_columns_the_shape_goes_and_nothing_is_cut():
    (part,) = fit(grid(), 80)

    assert "shape" not in part.header
    assert "M\nparams" in part.header
    text = printed(grid(), 80)
    assert all(name in text for name in NAMES)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_where_devices_are_many_their_intervals_go_before_any_device():
    (part,) = fit(grid(3), 80)

    headers = " ".join(part.header).replace("\n", " ")
    assert all(f"device{n}" in headers for n in range(3))
    assert part.columns[-2].cells == ["1.00"] * 2  # the last device first


@pytest.mark.parametrize("width", [40, 60, 80])
def test_all_devices_are_shown_at_any_width(width):
    text = printed(grid(9), width)

    assert all(f"device{n}" in text for n in range(9))
    assert all(name in text for name in NAMES)
    assert max(len(line) for line in text.splitlines()) <= width


def test_a_terminal_narrower_than_a_cell_folds_it():
    text = printed(grid(), 24)

    assert max(len(line) for line in text.splitlines()) <= 24
    assert "".join(text.split("│")).count("80.5") == 2


def test_sentences_wrap_instead_of_taking_a_table_of_their_own():
    sentence = "a promise that takes very many words to say what it is about " * 2
    shown = Grid.of("", ("promise", "found"), [("kept", sentence)], wraps=("found",))

    assert len(fit(shown, 80)) == 1
    assert max(len(line) for line in printed(shown, 80).splitlines()) <= 80


def test_what_a_user_named_is_only_text():
    name = "<b>|`x`\x1b[31m"
    shown = Grid("<i>", (Column("network", [name]),))

    assert "<b>" not in html(shown)
    assert "<i>" not in html(shown)
    assert "\\|\\`x\\`" in markdown(shown)
    assert "<b>" not in markdown(shown)
    assert "\x1b" not in printed(shown, 80)


def test_a_table_in_markdown_has_its_rule_below_the_header():
    assert markdown(Grid.of("", ("a", "b"), [("1", "2"), ("3", "4")])) == (
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n"
    )
