"""Of the tries at a task counts the first that was not lost."""

import msgspec

from repvit_nas.campaign.planning import task_of
from repvit_nas.campaign.records import Planned
from repvit_nas.campaign.tries import MOST_LOST, PlanTask, Tries, Try
from repvit_nas.search_space.family import family

NETWORK = family()["repvit_m0_9"].architecture


def task(number):
    network = msgspec.structs.replace(NETWORK, name=f"n{number}")
    return task_of("chosen", network, 0, inherits=False)


def tries(*rows):
    return Tries([Try(number, number, what, *rest) for number, (what, *rest) in enumerate(rows)])


def test_the_first_try_that_was_not_lost_counts():
    found = tries((task(0), "lost"), (task(0), "running"), (task(0), "waiting"))

    assert found.current[task(0).name].number == 1
    assert not found.missing
    assert [each.name for each in found.state.open] == [task(0).name]


def test_a_task_that_was_lost_and_not_enqueued_again_is_missing():
    assert tries((task(0), "lost")).missing == [task(0)]
    assert tries((PlanTask(0), "lost")).missing == [PlanTask(0)]


def test_a_task_that_takes_every_worker_with_it_is_left_out():
    lost = (task(0), "lost", "one")
    given_back = (*lost, None, "", True)

    assert not tries(*[given_back] * MOST_LOST).state.failed
    assert not tries(*[lost] * (MOST_LOST - 1)).state.failed
    (reason,) = tries(*[lost] * MOST_LOST).state.failed.values()
    assert reason == f"{MOST_LOST} workers were lost at it, the last: one"


def test_trainings_come_in_the_order_in_which_they_were_chosen():
    planned = Planned((task(2), task(1)), "", 3)
    found = tries((PlanTask(0), "done", "", None, "", False, None, planned), (task(1), "waiting"))

    assert [each.name for each in found.trainings] == [task(2).name, task(1).name]
    assert found.missing == [task(2)]
