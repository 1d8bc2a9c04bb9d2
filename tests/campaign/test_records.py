"""What a campaign writes: tasks, failures and ends in one log."""

import pytest

from repvit_nas.campaign.records import Failure, Finished, TrainingTask, read_campaign, task_log
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.search_space.family import family

TASK = TrainingTask("n1-seed-0", family()["repvit_m0_9"].architecture, 0, "chosen", inherits=True)


def test_tasks_failures_and_ends_come_back_as_what_they_were(tmp_path):
    lines = [TASK, Failure("n2-seed-0", "the loss is no number"), Finished("n1-seed-0", 2.5)]
    log = task_log(tmp_path)
    for line in lines:
        log.append(line)

    assert list(task_log(tmp_path).read()) == lines


def test_a_line_that_is_none_of_them_is_named(tmp_path):
    task_log(tmp_path).append(TASK)
    with (tmp_path / "tasks.jsonl").open("ab") as file:
        file.write(b'{"type":"holiday","name":"n"}\n')

    with pytest.raises(FileError, match="line 2 is no task of a campaign"):
        list(task_log(tmp_path).read())


def test_a_folder_without_a_campaign_says_what_makes_one(tmp_path):
    with pytest.raises(RepvitNasError, match="holds no campaign; repvit-nas measure-accuracy"):
        read_campaign(tmp_path)
