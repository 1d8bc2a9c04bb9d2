"""What a machine needs before it begins or helps a campaign."""

import re

import msgspec
import pytest
from campaign_support import begun

from repvit_nas.campaign.opening import open_workplace
from repvit_nas.errors import RepvitNasError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_nobody_begins_without_the_teacher(tmp_path):
    with pytest.raises(RepvitNasError, match="teacher 'nobody' is missing"):
        begun(recipe={"distillation": "soft", "teacher": "nobody"})

    assert not [*tmp_path.rglob("campaign.json")]


def test_who_helps_has_what_the_campaign_was_begun_with(tmp_path):
    file = begun().file
    where = {"root": "", "trainings": tmp_path / "runs", "device": "cpu"}

    assert open_workplace(file, name="shapes", **where).file == file
    with pytest.raises(RepvitNasError, match="digits: cannot be the images of the campaign"):
        open_workplace(file, name="digits", **where)
    other = msgspec.structs.replace(file, data_digest="0123456789abcdef")
    with pytest.raises(RepvitNasError, match="shapes: is of other images than the campaign"):
        open_workplace(other, name="shapes", **where)
    elsewhere = msgspec.structs.replace(file.asked, init="runs/mine")
    with pytest.raises(RepvitNasError, match=re.escape("starts from runs/mine, which is not here")):
        open_workplace(msgspec.structs.replace(file, asked=elsewhere), name="shapes", **where)
    half = msgspec.structs.replace(file.asked, precision="fp16")
    with pytest.raises(RepvitNasError, match="trains in fp16, for which this machine has no GPU"):
        open_workplace(msgspec.structs.replace(file, asked=half), name="shapes", **where)
