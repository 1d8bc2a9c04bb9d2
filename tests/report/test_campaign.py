import msgspec
import pytest

from repvit_nas.campaign.status import CampaignStatus, Ended, Running
from repvit_nas.report.campaign import status_table, status_text

STATUS = CampaignStatus(
    name="toys",
    trained=(Ended(task="a-seed-0", by="one", top1=71.25, seconds=90.0),),
    running=(Running(task="b-seed-0", by="two", doing="epoch 2/3", done=5, of=1200, seconds=30.0),),
    waiting=("c-seed-0",),
    failed={"d-seed-0": "the loss is no number"},
    lost=1,
    networks=24,
    ended="",
    left_s=600.0,
)


def test_every_training_has_a_row_with_who_and_how_far():
    grid = status_table(STATUS)

    assert grid.title == "Campaign toys"
    rows = list(zip(*(column.cells for column in grid.columns), strict=True))
    assert rows == [
        ("b-seed-0", "two", "epoch 2/3, 5 of 1,200", "0.5"),
        ("a-seed-0", "one", "top-1 71.25 %", "1.5"),
        ("c-seed-0", "", "waits for a worker", ""),
        ("d-seed-0", "", "left out: the loss is no number", ""),
    ]


def test_a_line_says_what_is_left_and_who_was_lost():
    assert status_text(STATUS) == (
        "1 training finished, 2 left, 1 left out; 1 worker lost on the way, and replaced; about 10 "
        "minutes left with those who are at work."
    )


@pytest.mark.parametrize(
    ("left_s", "said"), [(20.0, "less than a minute"), (70.0, "about 1 minute")]
)
def test_the_last_minutes_are_said_in_words_that_fit(left_s, said):
    status = msgspec.structs.replace(STATUS, lost=0, failed={}, left_s=left_s)

    assert status_text(status) == (
        f"1 training finished, 2 left; {said} left with those who are at work."
    )
