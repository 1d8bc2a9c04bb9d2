"""One training of a campaign, and the first network where it is not at hand."""

import msgspec
import pytest
import torch
from campaign_support import begun

from repvit_nas.campaign.planning import task_of
from repvit_nas.campaign.training import train_task
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.place import Place
from repvit_nas.training.records import WEIGHTS_FILE, read_training


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def test_a_training_says_the_same_wherever_it_is_made(tmp_path):
    here = begun().workplace
    there = here._replace(trainings=tmp_path / "there")
    task = task_of("chosen", here.file.held_out[0], 3, inherits=True)

    train_task(here, here.first, Place())
    one, other = train_task(here, task, Place()), train_task(there, task, Place())

    # There, the first network was trained first, as nobody had brought it.
    assert one.observation == other.observation
    assert one.losses == other.losses
    assert (here.trainings / task.name / WEIGHTS_FILE).read_bytes() == (
        there.trainings / task.name / WEIGHTS_FILE
    ).read_bytes()
    assert read_training(there.folder_of(there.first)).outcome is not None
    assert one.observation.donor == here.file.donor


def test_one_folder_trains_a_network_once_at_a_time(tmp_path):
    workplace = begun().workplace
    lock = workplace.lock_of(workplace.first)

    assert workplace.lock_of(workplace.first) is None
    lock.release()
    workplace.lock_of(workplace.first, wait=True).release()


def test_what_cannot_be_trained_says_why(tmp_path):
    workplace = begun().workplace
    wild = msgspec.structs.replace(workplace.file.asked.recipe, lr=1e4, warmup_epochs=0, epochs=3)
    asked = msgspec.structs.replace(workplace.file.asked, recipe=wild)
    workplace = workplace._replace(file=msgspec.structs.replace(workplace.file, asked=asked))

    with pytest.raises(RepvitNasError, match="finite|diverged"):
        train_task(workplace, workplace.first, Place())
