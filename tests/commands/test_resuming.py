"""`--resume` takes `auto` or nothing."""

import pytest

from repvit_nas.commands.resuming import split_resume


@pytest.mark.parametrize(
    ("words", "rest", "resume"),
    [
        (["train", "net", "--resume"], ["train", "net"], "yes"),
        (["train", "--resume", "net"], ["train", "net"], "yes"),
        (["train", "--resume", "auto", "net"], ["train", "net"], "auto"),
        (["train", "net", "--resume=auto"], ["train", "net"], "auto"),
        (["train", "net", "--device", "auto"], ["train", "net", "--device", "auto"], None),
    ],
)
def test_resume_takes_auto_or_nothing(words, rest, resume):
    assert split_resume(words) == (rest, resume)
