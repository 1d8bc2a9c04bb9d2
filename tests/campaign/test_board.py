"""What a campaign gives out, and when it gives up."""

import pytest
import torch
from campaign_support import begun

from repvit_nas.campaign.board import CampaignLimits, FolderBoard, ready, refuse_many_failures
from repvit_nas.campaign.planning import first_tasks, state_of, task_of
from repvit_nas.campaign.records import Failure, Finished
from repvit_nas.errors import RepvitNasError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def test_what_inherits_waits_for_the_first_network_and_fails_with_it():
    workplace = begun().workplace
    (donor,) = first_tasks(workplace.file)
    heir = task_of("chosen", workplace.file.held_out[0], 0, inherits=True)
    other = task_of("chosen", workplace.file.held_out[1], 0, inherits=False)
    lines = [donor, heir, other]

    assert ready(workplace, state_of(lines, [])) == [donor, other]
    assert ready(workplace, state_of([*lines, Finished(donor.name, 1.0)], [])) == [heir, other]
    with pytest.raises(RepvitNasError, match="the first network, .*, cannot be trained: no disk"):
        ready(workplace, state_of([*lines, Failure(donor.name, "no disk")], []))


def test_a_folder_gives_a_training_to_one_process_at_a_time():
    campaign = begun()
    one, other = (FolderBoard(campaign, lambda _: None) for _ in range(2))
    limits = CampaignLimits(networks=2)

    with one.step(limits) as claimed:
        assert claimed.task == campaign.workplace.first
        assert other.step(limits) is None
    with other.step(limits) as again:
        assert again.task == claimed.task


def test_three_failures_one_after_the_other_end_a_campaign():
    failures = [Failure(f"n{number}", "no memory") for number in range(3)]

    refuse_many_failures([*failures[:2], Finished("n3", 1.0), failures[2]], "try again")
    with pytest.raises(RepvitNasError, match="3 trainings failed .*: no memory; .* and try again"):
        refuse_many_failures([Finished("n3", 1.0), *failures], "try again")
