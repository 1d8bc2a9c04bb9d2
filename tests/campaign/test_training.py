"""One training of a campaign, and the first network where it is not at hand."""

import msgspec
import pytest
import torch
from campaign_support import begun
from training_support import assert_learned_alike

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


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_say_the_same_of_it(tmp_path):
    alone = begun(recipe={"batch": 8, "accumulate": 2}).workplace
    both = alone._replace(trainings=tmp_path / "both").by(2, "cpu")
    task = task_of("chosen", alone.file.held_out[0], 3, inherits=True)

    one, other = (train_task(each, task, Place("cpu")) for each in (alone, both))

    assert_learned_alike(both.folder_of(task), alone.folder_of(task))
    measured = {"top1", "top1_sd", "loss", "loss_sd"}
    for field in measured:
        wanted = pytest.approx(getattr(one.observation, field), rel=1e-4)
        assert getattr(other.observation, field) == wanted, field
    fields = set(one.observation.__struct_fields__) - measured
    assert {name: getattr(one.observation, name) for name in fields} == {
        name: getattr(other.observation, name) for name in fields
    }
    record = read_training(both.folder_of(task))
    assert (record.asked.processes, record.asked.recipe.accumulate) == (2, 1)
    # Whoever comes with one process takes it as it is.
    again = both._replace(processes=1)
    assert train_task(again, task, Place("cpu")).losses == other.losses


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
