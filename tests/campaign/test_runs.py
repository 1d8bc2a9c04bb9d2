"""A list of trainings, made by whoever helps, is in the end what it had been if it were made here."""

import contextlib
import json

import msgspec
import pytest
import torch
from optuna.artifacts import FileSystemArtifactStore
from training_support import small_asked

from repvit_nas.campaign.artifacts import Artifacts, sizes_text
from repvit_nas.campaign.board import CampaignLimits
from repvit_nas.campaign.opening import open_workplace
from repvit_nas.campaign.run import work_on
from repvit_nas.campaign.runs import RunsWishes, begin_runs, make_runs, runs_file, seeded_tasks
from repvit_nas.campaign.status import status_of
from repvit_nas.campaign.study import open_study
from repvit_nas.campaign.together import StudyBoard
from repvit_nas.campaign.training import Workplace
from repvit_nas.campaign.tries import PlanTask
from repvit_nas.checking.family import member_asked, train_beside
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.network import create
from repvit_nas.searching.shared import Sharing
from repvit_nas.training.records import Matching, read_training
from repvit_nas.training.run import open_asked, train
from repvit_nas.training.trained import trained_run

SEEDS = (3, 4)
MEMBER = "repvit_m0_6"
ASKED = small_asked()
# What must be the same whoever trained it; a record and its page say where that was.
SAME = ("model.safetensors", "config.json", "architecture.json", "val_losses.npy")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@contextlib.contextmanager
def worker(url, store, said, **options):
    """Open the study and the store as one worker."""
    store.mkdir(exist_ok=True)
    with open_study(Sharing(url, "mine", say=said.append)) as study:

        def kept(workplace):
            found = FileSystemArtifactStore(str(store))
            return Artifacts(found, study, workplace, say=said.append, **options)

        yield study, kept


def wanted(trainings, asked=ASKED):
    """Return what is asked, and where that is done by whoever asks."""
    opened = open_asked(asked)
    tasks = seeded_tasks(asked, SEEDS, [MEMBER])
    file = runs_file(asked, tasks, opened, RunsWishes("mine", "quick", trainings, "as before"))
    return file, Workplace(file, asked.data, opened, trainings, lambda _: b"drawn")


def helper_of(study, trainings):
    file = study.join()
    return open_workplace(file, name=ASKED.data.name, root="", trainings=trainings, device="cpu")


@pytest.mark.parametrize("url", ["sqlite", "journal", "postgresql", "mysql"], indirect=True)
def test_runs_that_others_made_lie_as_if_they_were_made_here(url, tmp_path):
    store, said = tmp_path / "store", []
    with worker(url, store, said) as (study, kept), worker(url, store, said) as (other, others):
        file, here = wanted(tmp_path / "runs")
        begin_runs(study, file)
        away = helper_of(other, tmp_path / "away")._replace(picture=lambda _: b"drawn")
        helping = StudyBoard(other, away, None, said.append, others(away))
        made = work_on(helping, away, CampaignLimits())
        worked = make_runs(study, here, kept(here), say=said.append)
        status = status_of(study)

    assert (made.trainings, worked.trainings) == (4, 0)
    assert made.reason == worked.reason == status.ended == "all trainings are made"
    assert [each.task for each in status.trained] == [
        *("seed-3", f"seed-3-{MEMBER}", "seed-4", f"seed-4-{MEMBER}"),
    ]
    for seed in SEEDS:
        asked, run = msgspec.structs.replace(ASKED, seed=seed), tmp_path / "runs" / f"seed-{seed}"
        train(asked, tmp_path / "alone" / run.name)
        train_beside(trained_run(tmp_path / "alone" / run.name), [MEMBER])
        for inner in ("", f"family/{MEMBER}"):
            brought, alone = run / inner, tmp_path / "alone" / run.name / inner
            assert all(
                (brought / name).read_bytes() == (alone / name).read_bytes() for name in SAME
            )
            assert (brought / "curves.png").read_bytes() == b"drawn"
            assert read_training(brought).command == "as before"
            assert trained_run(brought).asked == read_training(alone).asked
        train_beside(trained_run(run), [MEMBER], say=said.append)
    assert said == [], "nothing was left to train"


def test_what_cannot_be_brought_is_left_to_whoever_asked(tmp_path):
    url, store, said = f"sqlite:///{tmp_path}/s.db", tmp_path / "store", []
    with worker(url, store, said) as (study, kept):
        file, here = wanted(tmp_path / "runs")
        begin_runs(study, file)
        make_runs(study, here, kept(here))
        again = here._replace(trainings=tmp_path / "elsewhere")
        for path in store.iterdir():
            path.unlink()
        make_runs(study, again, kept(again))

    lines = [f"{task.name} cannot be brought, it is trained here as well" for task in file.tasks]
    assert [line.partition(":")[0] for line in said] == lines
    assert not list((tmp_path / "elsewhere").glob("seed-*"))


def test_what_was_begun_otherwise_is_refused_and_not_written_over(tmp_path):
    url, said = f"sqlite:///{tmp_path}/s.db", []
    with worker(url, tmp_path / "store", said) as (study, _):
        begin_runs(study, wanted(tmp_path / "runs")[0])
        begin_runs(study, wanted(tmp_path / "elsewhere")[0])  # where runs go is each machine's own
        assert len(study.look().all) == 4, "enqueued once"
        changed = msgspec.structs.replace(ASKED.recipe, lr=0.5)
        other, _ = wanted(tmp_path / "runs", msgspec.structs.replace(ASKED, recipe=changed))
        with pytest.raises(RepvitNasError, match="begun with other arguments, .*recipe.lr"):
            begin_runs(study, other)


def test_a_list_of_other_trainings_is_told_by_their_names(tmp_path):
    with worker(f"sqlite:///{tmp_path}/s.db", tmp_path / "store", []) as (study, _):
        file, _ = wanted(tmp_path / "runs")
        begin_runs(study, file)
        fewer = msgspec.structs.replace(file, tasks=file.tasks[:3])
        with pytest.raises(RepvitNasError, match=f"it has a training seed-4-{MEMBER} too; give"):
            begin_runs(study, fewer)
        another = msgspec.structs.replace(file.tasks[0], name="seed-5", seed=5)
        with pytest.raises(RepvitNasError, match="it has no training seed-5; give"):
            begin_runs(study, msgspec.structs.replace(file, tasks=(*file.tasks, another)))


def test_the_largest_network_of_a_list_is_what_the_store_has_to_hold():
    _, workplace = wanted("runs")
    alone = msgspec.structs.replace(workplace.file, tasks=workplace.file.tasks[:1])

    said = sizes_text(workplace, checkpoints=False)

    largest = create(workplace.file.tasks[1].architecture)
    megabytes = 4e-6 * sum(each.numel() for each in largest.parameters())
    assert f"up to {megabytes:,.1f} MB" in said
    assert "about 0." in sizes_text(workplace._replace(file=alone), checkpoints=False)


def test_what_was_not_asked_for_is_refused(tmp_path):
    with worker(f"sqlite:///{tmp_path}/s.db", tmp_path / "store", []) as (study, _):
        begin_runs(study, wanted(tmp_path / "runs")[0])
        study.enqueue(PlanTask(0))
        with pytest.raises(FileError, match="'plan-0' is none of the campaign's"):
            study.look()


def test_a_list_that_leads_out_of_its_folder_is_refused():
    file, _ = wanted("runs")
    for changes in ({"name": "../evil"}, {"role": "chosen"}, {"role": "beside"}):
        document = json.loads(msgspec.json.encode(file))
        document["tasks"][0] |= changes
        with pytest.raises(msgspec.ValidationError, match="name|must be a run"):
            msgspec.convert(document, type(file))


def test_what_no_study_can_carry_is_refused():
    asked = msgspec.structs.replace(ASKED, matching=Matching(teacher="one"))
    with pytest.raises(RepvitNasError, match="that have stages and learn classes; leave it out"):
        seeded_tasks(asked, SEEDS, [])


def test_references_start_from_their_own_weights_where_the_run_starts_from_any():
    inheriting = msgspec.structs.replace(ASKED, init="repvit_m0_9")
    file, workplace = wanted("runs", inheriting)
    run, beside = file.tasks[:2]

    assert workplace.training_of(run) == msgspec.structs.replace(inheriting, seed=3)
    assert workplace.training_of(beside) == msgspec.structs.replace(
        member_asked(inheriting, MEMBER), seed=3
    )
    assert workplace.training_of(beside).init == MEMBER
