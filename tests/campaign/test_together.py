"""Several workers at one campaign, by its study."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
import torch
from campaign_support import begun, result_of
from support import ROOT
from training_support import train_small

from repvit_nas.accuracy.observations import ObservationLog
from repvit_nas.campaign.board import CampaignLimits, TaskLostError
from repvit_nas.campaign.opening import open_workplace
from repvit_nas.campaign.records import Planned
from repvit_nas.campaign.run import run_campaign, work_on
from repvit_nas.campaign.status import status_of
from repvit_nas.campaign.study import open_study
from repvit_nas.campaign.together import StudyBoard
from repvit_nas.campaign.training import train_task
from repvit_nas.campaign.tries import MOST_LOST, PlanTask
from repvit_nas.errors import RepvitNasError
from repvit_nas.searching.shared import Sharing
from repvit_nas.training.place import Place


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@contextlib.contextmanager
def worker(tmp_path, said=None, stale_s=60.0):
    """Open the study of the campaign that all tests here speak of."""
    say = (lambda _: None) if said is None else said.append
    with open_study(
        Sharing(f"sqlite:///{tmp_path}/s.db", "shapes", say=say, stale_s=stale_s)
    ) as study:
        yield study


def workplace(study, trainings):
    return open_workplace(study.join(), name="shapes", root="", trainings=trainings, device="cpu")


def seen(folder):
    """Return what a campaign's folder says of each training."""
    return {
        each.source: (each, np.load(folder / each.losses).tobytes())
        for each in ObservationLog(folder).read()
    }


def test_who_has_no_teacher_gives_the_training_back_and_needs_none_at_the_end(tmp_path):
    teacher = train_small(tmp_path / "teacher")  # knows the classes of `shapes`
    recipe = {"distillation": "soft", "teacher": str(teacher)}
    with worker(tmp_path) as study:
        campaign = begun(agree=study.agree, recipe=recipe)
        board = StudyBoard(study, campaign.workplace, campaign, lambda _: None)
        with board.step(CampaignLimits(networks=2)):
            pass  # chooses what comes first, and gives it back
        there = workplace(study, tmp_path / "there")
        shutil.rmtree(teacher)
        helping = StudyBoard(study, there, None, lambda _: None)

        for _ in range(MOST_LOST + 1):
            with pytest.raises(RepvitNasError, match="teacher '.*' is missing"):
                work_on(helping, there, CampaignLimits())

        tries = study.look()
        assert [tries.current[task.name].state for task in tries.trainings] == ["waiting"]
        assert not tries.state.failed
        for task in tries.trainings:  # as another one who has the teacher
            one = tries.current[task.name]
            assert study.claim(one, "another")
            assert study.tell(one, result_of(task, study.file))
        study.enqueue(PlanTask(1))
        one = study.look().plans[-1]
        assert study.claim(one, "another")
        assert study.tell_plan(one, Planned((), "enough", 2))
        assert work_on(helping, there, CampaignLimits()).reason == "enough"


def test_workers_train_what_one_would_have_and_the_folder_holds_it_all(tmp_path, monkeypatch):
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    alone = run_campaign(begun(), CampaignLimits(networks=3))
    wanted = seen(alone.folder)
    monkeypatch.chdir(tmp_path)

    limits, said = CampaignLimits(networks=3), []
    with worker(tmp_path, said) as study, worker(tmp_path) as helper:
        campaign = begun(agree=study.agree)
        board = StudyBoard(study, campaign.workplace, campaign, said.append)
        with board.step(limits) as donor:  # one begins
            work = workplace(helper, tmp_path / "elsewhere")
            helping = StudyBoard(helper, work, None, said.append)
            assert helping.step(limits) is None
            assert status_of(study).running[0].task == donor.task.name
        assert "waiting: others train what is left" in said
        # ... and gives the donor back, which the helper takes; then it has nothing to do.
        with helping.step(limits) as again:
            assert again.task == donor.task
            again.tell(train_task(work, again.task, Place()))
        assert helping.step(limits) is None
        outcome = run_campaign(campaign, limits, board=board, say=said.append)
        worked = work_on(helping, work, limits)
        status = status_of(helper)

    assert seen(outcome.folder) == wanted
    assert outcome.fitted == alone.fitted
    assert worked.reason == outcome.reason == status.ended == alone.reason
    assert [each.name for each in outcome.state.tasks] == [each.name for each in alone.state.tasks]
    assert (tmp_path / "results/accuracy-shapes/donor-seed-0").exists(), "to inherit from"
    assert status.lost == 0
    assert {each.task for each in status.trained} == set(wanted)
    assert msgspec.json.decode(msgspec.json.encode(status))["networks"] == 3


def test_a_worker_who_was_taken_for_dead_finds_that_out(tmp_path):
    limits = CampaignLimits(networks=2)
    with worker(tmp_path, stale_s=1.2) as study, worker(tmp_path, stale_s=1.2) as other:
        campaign = begun(agree=study.agree)
        board = StudyBoard(study, campaign.workplace, campaign, lambda _: None)
        with board.step(limits) as claimed:
            other.join()
            (running,) = [each for each in other.look().running if each.task == claimed.task]
            other.give_back(running)
            told = claimed.watched(lambda *_: None)

            def train():
                end = time.monotonic() + 20
                while time.monotonic() < end:
                    told("training", 1, 2)

            with pytest.raises(TaskLostError):
                train()


def test_what_one_machine_began_alone_is_gone_on_with_by_several(tmp_path):
    alone = run_campaign(begun(), CampaignLimits(networks=1))
    before = seen(alone.folder)

    with worker(tmp_path) as study:
        campaign = begun(agree=study.agree)
        board = StudyBoard(study, campaign.workplace, campaign, lambda _: None)
        outcome = run_campaign(campaign, CampaignLimits(networks=2), board=board)
        trained = {each.task for each in status_of(study).trained}

    after = seen(outcome.folder)
    assert before.items() <= after.items()
    assert trained == set(after) > set(before)


def test_a_campaign_that_was_begun_otherwise_is_refused(tmp_path, monkeypatch):
    with worker(tmp_path) as study:
        begun(agree=study.agree)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    with worker(tmp_path) as study, pytest.raises(RepvitNasError, match="asked.band 0.1 -> 0.2"):
        begun(agree=study.agree, band=0.2)
    assert not (tmp_path / "elsewhere/predictors/accuracy/shapes/campaign.json").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"name": "digits"},
            "cannot be the images of the campaign 'shapes', which calls them shapes",
        ),
        ({"name": "photos"}, "photos"),
        (
            {"device": "cpu", "precision": "bf16"},
            "trains in bf16, for which this machine has no GPU",
        ),
        ({"init": "runs/best"}, "starts from runs/best, which is not here"),
    ],
)
def test_a_worker_who_cannot_help_says_why(tmp_path, given, said):
    with worker(tmp_path) as study:
        begun(agree=study.agree)
        file = study.join()
    changes = {key: given.pop(key) for key in ("precision", "init") if key in given}
    file = msgspec.structs.replace(file, asked=msgspec.structs.replace(file.asked, **changes))

    options = {"name": "shapes", "device": "cpu"} | given
    with pytest.raises(RepvitNasError, match=said):
        open_workplace(file, root="", trainings=tmp_path, **options)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_bad_luck_costs_no_training(kind, request):
    """The short form of `benchmarks/bench_campaign_faults.py`, which brings a database of its own."""
    script = ROOT / "benchmarks" / "bench_campaign_faults.py"
    request.getfixturevalue(kind)  # else this is skipped
    words = ["--times", "1", "--down", "2", "--only", "all", "--on", kind]

    done = subprocess.run(
        [sys.executable, script, *words],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    first, *counts = done.stdout.splitlines()
    assert first.startswith("undisturbed: 6 trainings")
    (count,) = counts
    assert count.startswith("all")
    assert "1 times, 0 wrong" in count
