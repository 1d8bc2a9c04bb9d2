"""What a trial of a campaign says comes back, and nothing else is believed."""

import json

import formats
import msgspec
import pytest
from campaign_support import result_of

from repvit_nas.campaign import trial
from repvit_nas.campaign.planning import task_of
from repvit_nas.campaign.records import CampaignFile
from repvit_nas.campaign.trial import (
    LOSSES,
    OBSERVATION,
    facts_of_result,
    facts_of_task,
    read_try,
)
from repvit_nas.campaign.tries import PlanTask
from repvit_nas.errors import FileError
from repvit_nas.search_space.family import family

FILE = msgspec.structs.replace(
    msgspec.convert(json.loads(formats.campaign()), CampaignFile), val_images=20_000
)
TASK = task_of("chosen", family()["repvit_m0_9"].architecture, 0, inherits=False)


RESULT = result_of(TASK, FILE)  # whose losses take three pieces of a text
FACTS = facts_of_task(TASK, FILE) | facts_of_result(RESULT) | {"worker": "somebody"}
SAID = FACTS[OBSERVATION]


def read(facts, state="done"):
    return read_try("trial 3", number=3, trial_id=30, state=state, attrs=facts, file=FILE)


def test_what_a_training_said_comes_back_in_pieces_that_any_database_takes():
    assert read(json.loads(json.dumps(FACTS))).result == RESULT
    assert max(len(json.dumps(value)) for value in FACTS.values()) < 64 * 1024
    assert len([name for name in FACTS if name.startswith(LOSSES)]) == 3


def test_a_failed_try_is_lost_where_nobody_says_why():
    facts = facts_of_task(PlanTask(2), FILE)

    assert read(facts, "failed").state == "lost"
    assert read(facts | {"failure": "no memory"}, "failed").state == "failed"
    assert read(facts | {"given back": True}, "failed").given_back


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (trial.TASK, {"type": "task", "name": "../../etc"}, "trial 3: repvit-nas task: name"),
        (trial.TASK, None, "trial 3: repvit-nas task"),
        (trial.TASK, {"type": "plan", "number": -1}, "trial 3: repvit-nas task: number"),
        (trial.TASK, {"type": "plan", "number": 1}, "trial 3: repvit-nas plan"),
        ("worker", "x" * 2000, "trial 3: worker"),
        ("progress", {"count": "many"}, "trial 3: progress: count"),
        ("seconds", -1, "trial 3: seconds"),
        (OBSERVATION, SAID | {"top1": 120}, "trial 3: repvit-nas observation: top1"),
        (OBSERVATION, SAID | {"source": "n9-seed-0"}, "of another training"),
        (OBSERVATION, SAID | {"losses": "../x.npy"}, "of another training"),
        (OBSERVATION, SAID | {"held_out": True}, "of another training"),
        (f"{LOSSES} 0", "####", "trial 3: repvit-nas losses"),
        (f"{LOSSES} 0", "AAAA", "losses"),
        (f"{LOSSES} 2", "A" * 900_000, "are more than of 20,000 images"),
    ],
)
def test_what_a_database_says_is_not_believed(key, value, said):
    with pytest.raises(FileError, match=said) as error:
        read(FACTS | {key: value})

    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1700


def test_trainings_by_another_recipe_are_not_compared():
    other = {"data": "shapes", "data_digest": "1" * 16, "recipe": "quick", "recipe_digest": ""}

    with pytest.raises(FileError, match="of other circumstances: data"):
        read(FACTS | {OBSERVATION: SAID | {"circumstances": other}})
