"""A campaign's study: what every storage must do, and what of a database is not believed."""

import contextlib
import json
import threading
import time

import formats
import msgspec
import optuna
import pytest
from campaign_support import result_of

from repvit_nas.campaign.planning import task_of
from repvit_nas.campaign.records import CampaignFile, Planned
from repvit_nas.campaign.status import status_of
from repvit_nas.campaign.study import CAMPAIGN, open_study
from repvit_nas.campaign.tries import PlanTask
from repvit_nas.errors import RepvitNasError
from repvit_nas.search_space.family import family
from repvit_nas.searching.shared import Sharing

FILE = msgspec.convert(json.loads(formats.campaign()), CampaignFile)
NETWORK = family()["repvit_m0_9"].architecture
STALE_S = 0.6


def task(number, role="chosen"):
    network = msgspec.structs.replace(NETWORK, name=f"n{number}")
    return task_of(role, network, 0, inherits=False)


def result(one, **said):
    return result_of(one, FILE, **said)


@pytest.fixture
def begin(url):
    """Return what opens the study once more, as another worker does."""
    with contextlib.ExitStack() as stack:

        def opened(file=FILE, **sharing):
            given = {"stale_s": STALE_S} | sharing
            study = stack.enter_context(open_study(Sharing(url, "mine", **given)))
            study.agree(file)
            return study

        yield opened


def waiting(study):
    return [each for each in study.look().all if each.state == "waiting"]


class TestEveryStorage:
    """What every storage must do."""

    def test_of_workers_who_claim_a_task_at_once_one_is_granted_it(self, begin):
        first = begin()
        for number in range(6):
            first.enqueue(task(number))
        studies = [first, begin(), begin()]
        start, granted = threading.Barrier(len(studies)), []

        def claim_all(study, name):
            tries = waiting(study)
            start.wait()
            granted.extend((each.task.name, name) for each in tries if study.claim(each, name))

        threads = [
            threading.Thread(target=claim_all, args=(study, f"worker {place}"))
            for place, study in enumerate(studies)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(name for name, _ in granted) == [task(number).name for number in range(6)]
        assert {each.task.name: each.by for each in first.look().all} == dict(granted)

    def test_what_a_training_says_comes_back_and_is_told_once(self, begin):
        here, there = begin(), begin()
        held_out = task(1, "held out")
        here.enqueue(task(0))
        here.enqueue(held_out)
        for one in waiting(here):
            assert here.claim(one, "somebody")
            assert here.tell(one, result(one.task))
            assert not here.fail(one, "too late")
            assert not here.tell(one, result(one.task, top1=1.0))

        state = there.look().state
        assert state.tasks == (task(0), held_out)
        assert state.finished == {task(0).name: 2.5, held_out.name: 2.5}
        assert [each.result for each in there.look().all] == [result(task(0)), result(held_out)]

    def test_the_task_of_a_worker_who_is_gone_is_given_to_another(self, begin):
        said = []
        gone, left = begin(), begin(say=said.append)
        gone.enqueue(task(0))
        (one,) = waiting(gone)
        assert gone.claim(one, "gone")

        end = time.monotonic() + 20
        while not left.mend(left.look()) and time.monotonic() < end:
            time.sleep(0.1)
        (again,) = waiting(left)
        assert left.claim(again, "left")
        assert said == [
            f"{task(0).name}: nothing was heard of gone for 0.6 s; it is given to another"
        ]
        assert not gone.tell(one, result(one.task)), "it was taken for dead: nothing is told twice"
        assert left.tell(again, result(again.task))
        assert list(left.look().state.finished) == [task(0).name]

    def test_a_campaign_of_many_classes_and_trainings_comes_back(self, begin):
        """MySQL's texts end at 64 KiB."""
        names = tuple(f"a species of some genus or other, number {each}" for each in range(5000))
        file = msgspec.structs.replace(FILE, classes=names)
        planned = Planned(tuple(task(number) for number in range(200)), "", 201)
        here, there = begin(file), begin(file)
        here.enqueue(PlanTask(0))
        (one,) = waiting(here)
        here.claim(one, "somebody")

        assert here.tell_plan(one, planned)
        assert there.file.classes == names
        assert there.look().plans[0].planned == planned
        with pytest.raises(RepvitNasError, match="classes"):
            begin(msgspec.structs.replace(file, classes=(*names[:-1], "another")))

    def test_who_gives_signs_of_life_keeps_the_task(self, begin):
        working, watching = begin(), begin()
        working.enqueue(task(0))
        (one,) = waiting(working)
        working.claim(one, "slow")

        for count in range(1, 12):
            working._note(one, {"progress": {"count": count}})
            assert not watching.mend(watching.look())
            time.sleep(STALE_S / 4)

        assert working.tell(one, result(one.task))

    def test_what_comes_next_is_enqueued_whoever_chose_it(self, begin):
        study, other = begin(), begin()
        study.enqueue(PlanTask(0))
        (one,) = waiting(study)
        study.claim(one, "somebody")
        assert study.tell_plan(one, Planned((task(0), task(1)), "", 3))
        assert [each.name for each in other.look().missing] == [task(0).name, task(1).name]

        other._missing = {task(number).name: time.monotonic() - 60 for number in range(2)}
        assert other.mend(other.look())
        assert study.look().state.tasks == (task(0), task(1))
        assert not study.look().missing
        assert study.look().plans[0].planned.networks == 3


def test_a_task_that_is_enqueued_twice_is_made_once(tmp_path):
    with open_study(Sharing(f"journal:///{tmp_path}/s.log", "mine")) as study:
        study.agree(FILE)
        study.enqueue(task(0))
        study.enqueue(task(0))
        study.mend(study.look())

        (one,) = waiting(study)
        assert study.look().current[task(0).name] == one
        study.claim(one, "a")
        study.tell(one, result(one.task))
        assert study.look().state.open == []


def test_a_training_that_takes_longer_makes_the_others_no_shorter(tmp_path):
    with open_study(Sharing(f"journal:///{tmp_path}/s.log", "mine")) as study:
        study.agree(FILE)
        for number in range(3):
            study.enqueue(task(number))
        done, slow, other = waiting(study)
        for one in (done, slow, other):
            study.claim(one, "somebody")
        study.tell(done, result(done.task))  # in 2.5 seconds
        study._note(slow, {"progress": {"count": 1, "seconds": 100.0}})

        assert status_of(study).left_s == 1.25, "2.5 seconds of work, shared by two"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"val_images": 99}, "val_images 100 -> 99"),
        ({"data_digest": "1" * 16}, "of other images"),
        ({"resolution": 96}, "begun with other arguments, or by another version: resolution"),
    ],
)
def test_a_campaign_that_was_asked_something_else_is_refused(tmp_path, changes, said):
    sharing = Sharing(f"journal:///{tmp_path}/s.log", "mine")
    with open_study(sharing) as study:
        study.agree(FILE)
    moved = msgspec.structs.replace(FILE.asked.data, name="/elsewhere")
    asked = msgspec.structs.replace(FILE.asked, data=moved)
    with open_study(sharing) as study:  # where the images lie is each machine's own
        study.agree(msgspec.structs.replace(FILE, asked=asked, trainings="t2", command="c2"))

    with (
        open_study(sharing) as study,
        pytest.raises(RepvitNasError, match=said) as error,
    ):
        study.agree(msgspec.structs.replace(FILE, **changes))
    assert "\n" not in str(error.value)


def test_what_is_no_campaign_is_refused_in_a_line(tmp_path):
    url = f"journal:///{tmp_path}/s.log"
    with open_study(Sharing(url, "mine")) as study:
        study.agree(FILE)
        optuna.create_study(storage=study.storage, study_name="other").ask()
        later = optuna.create_study(storage=study.storage, study_name="later")
        study.storage.set_study_system_attr(later._study_id, CAMPAIGN, {"schema": 2})

    for name, said in (
        ("mime", "did you mean 'mine'"),
        ("other", "is a search, or somebody else's"),
        ("later", "`schema` must be 1; got 2"),
    ):
        with open_study(Sharing(url, name)) as study, pytest.raises(RepvitNasError, match=said):
            study.join()


def test_a_dashboard_shows_what_people_read_and_no_pages_of_json(tmp_path):
    """Which shows user attributes, each in one line, and no system attributes."""
    url = f"sqlite:///{tmp_path}/s.db"
    with open_study(Sharing(url, "mine")) as study:
        study.agree(FILE)
        study.enqueue(task(0))
        study.enqueue(PlanTask(0))
        training, plan = waiting(study)
        for one in (training, plan):
            study.claim(one, "somebody")
        study.tell(training, result(training.task, top1=81.0))
        study.tell_plan(plan, Planned((), "nothing is left to train", 3))

    seen = optuna.load_study(storage=url, study_name="mine")
    assert seen.metric_names == ["top-1 [%]"]
    assert seen.user_attrs["latency at most [ms]"] == {"iphone12": 1.0}
    trained, chosen = seen.trials
    assert trained.value == 81.0
    shown = trained.user_attrs
    assert (shown["task"], shown["network"], shown["role"], shown["seed"]) == (
        *("n0-seed-0", "48-96-192-384 / 2-2-14-2 / se ½ / x2", "chosen", 0),
    )
    assert chosen.user_attrs["next"] == "nothing is left to train"
    every = [*shown.values(), *chosen.user_attrs.values(), *seen.user_attrs.values()]
    assert max(len(json.dumps(value)) for value in every) < 100
