"""What workers keep for each other beside the study."""

import contextlib
import errno
import gzip
import io
import re
import tarfile

import msgspec
import pytest
import torch
from buckets import names_in, remove_bucket
from campaign_support import begun
from optuna.artifacts import FileSystemArtifactStore

from repvit_nas.artifacts import open_artifacts
from repvit_nas.campaign.artifacts import CHECKPOINT_FILE, KEPT, Artifacts, sizes_text
from repvit_nas.campaign.board import CampaignLimits
from repvit_nas.campaign.opening import open_workplace
from repvit_nas.campaign.study import open_study
from repvit_nas.campaign.together import StudyBoard
from repvit_nas.campaign.training import train_task
from repvit_nas.searching.shared import Sharing
from repvit_nas.training.checkpoint import Checkpoints
from repvit_nas.training.place import Place
from repvit_nas.training.records import TRAINING_FILE, WEIGHTS_FILE, read_training

LIMITS = CampaignLimits(networks=3)
EPOCHS = {"epochs": 3, "accumulate": 2, "batch": 8}


class Full(FileSystemArtifactStore):
    """A store whose disk is full after a few bytes."""

    def write(self, artifact_id, content_body):
        super().write(artifact_id, io.BytesIO(content_body.read(100)))
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture
def two(tmp_path):
    """Return the boards of one who chooses and of one elsewhere, with a store, and what they say."""
    said = []
    sharing = Sharing(f"sqlite:///{tmp_path}/s.db", "shapes")
    with contextlib.ExitStack() as stack:
        study, other = (stack.enter_context(open_study(sharing)) for _ in range(2))

        def boards(store=None, nproc=1, **options):
            campaign = begun(agree=study.agree, recipe=EPOCHS)
            away = open_workplace(
                other.join(), name="shapes", root="", trainings=tmp_path / "away", device="cpu"
            ).by(nproc, "cpu")
            store = store or open_artifacts(f"{tmp_path}/store")
            options |= {"say": said.append}
            here = Artifacts(store, study, campaign.workplace, **options)
            there = Artifacts(store, other, away, **options)
            return (
                (
                    StudyBoard(study, campaign.workplace, campaign, said.append, here),
                    campaign.workplace,
                ),
                (StudyBoard(other, away, None, said.append, there), away),
            )

        yield boards, said


def trained(claimed, workplace):
    claimed.bring()
    result = train_task(workplace, claimed.task, Place(), claimed.watched(lambda *_: None))
    claimed.tell(result)
    return result


def test_the_first_network_is_brought_and_not_trained_again(two, store_url):
    boards, said = two
    (board, here), (helping, away) = boards(open_artifacts(store_url))
    with board.step(LIMITS) as claimed:
        trained(claimed, here)
    with board.step(LIMITS) as claimed:  # chooses, and gives back what it took
        task = claimed.task
    with helping.step(LIMITS) as claimed:
        claimed.bring()
        for name in KEPT[:-1]:
            one, other = (each.folder_of(here.first) / name for each in (here, away))
            assert one.read_bytes() == other.read_bytes()
        assert task.inherits
        trained(claimed, away)

    assert not [line for line in said if "cannot be brought" in line]
    assert len(names_in(store_url)) == 2 * len(KEPT)


def test_how_many_processes_trained_a_network_is_no_difference(two):
    boards, said = two
    (board, here), (helping, away) = boards()
    with board.step(LIMITS) as claimed:
        result = train_task(here, claimed.task, Place(), claimed.watched(lambda *_: None))
        path = here.folder_of(claimed.task) / TRAINING_FILE
        record = read_training(path.parent)
        half = msgspec.structs.replace(record.asked.recipe, accumulate=1)
        by_two = msgspec.structs.replace(record.asked, recipe=half, processes=2)
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, asked=by_two)))
        claimed.tell(result)
    with board.step(LIMITS):
        pass
    with helping.step(LIMITS) as claimed:
        claimed.bring()

    brought = read_training(away.folder_of(here.first))
    assert brought.outcome == record.outcome
    assert brought.asked.processes == 2
    assert brought.asked.by_one == away.training_of(here.first)
    assert not [line for line in said if "cannot be brought" in line]


def interrupted(board, here, epoch):
    """Take a training, and stop it as an epoch begins."""

    def until_then(doing, *_):
        if doing.startswith(epoch):
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt), board.step(LIMITS) as claimed:
        train_task(here, claimed.task, Place(), claimed.watched(until_then))


def test_a_training_goes_on_elsewhere_from_its_last_checkpoint(two, tmp_path):
    boards, said = two
    (board, here), (helping, away) = boards(checkpoints=True)
    interrupted(board, here, "epoch 3")
    with helping.step(LIMITS) as claimed:
        claimed.bring()
        pointer = Checkpoints(away.folder_of(claimed.task)).last()
        assert pointer.updates == 6, "two epochs of three"
        told = trained(claimed, away)

    alone = train_task(here._replace(trainings=tmp_path / "alone"), here.first, Place())
    assert told.observation == alone.observation
    assert told.losses == alone.losses
    kept = list((tmp_path / "store").iterdir())
    assert len(kept) == len(KEPT) + 1, "of checkpoints only the one is left that was lost"
    assert said == []


def test_several_processes_do_not_go_on_with_what_one_began(two):
    boards, said = two
    (board, here), (helping, away) = boards(nproc=2, checkpoints=True)
    interrupted(board, here, "epoch 2")
    with helping.step(LIMITS) as claimed:
        claimed.bring()
        assert not away.folder_of(claimed.task).exists()
    assert [line.rpartition(": ")[2] for line in said] == ["is of 1 process, not 2"]


def test_of_many_checkpoints_the_last_is_left(two, store_url):
    boards, said = two
    (board, here), _ = boards(open_artifacts(store_url), checkpoints=True)

    def until_the_second_epoch(doing, *_):
        if doing.startswith("epoch 2"):
            raise KeyboardInterrupt

    with board.step(LIMITS) as claimed:
        with contextlib.suppress(KeyboardInterrupt):
            train_task(here, claimed.task, Place(), claimed.watched(until_the_second_epoch))
        watched = claimed.watched(lambda *_: None)
        for doing in ("once", "twice", "three times"):
            watched(doing, 0, 1)

        assert len(names_in(store_url)) == 1
    assert said == []


def packed(*members):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        for name in members:
            file.addfile(tarfile.TarInfo(name))
    return content.getvalue()


NONE = [
    (b"", "empty"),
    (b"x" * 2000, "header"),
    (gzip.compress(packed("training.json")), "header"),
    (packed("../../evil"), "'../../evil', which no checkpoint does"),
    (packed("/etc/passwd"), "which no checkpoint does"),
    (packed("training.json"), "training.json"),
    (packed("training.json", "training.json"), "which no checkpoint does"),
]


def test_a_checkpoint_that_is_none_is_said_and_not_unpacked(two, tmp_path):
    boards, said = two
    (board, _), (helping, away) = boards(checkpoints=True)
    for content, reason in NONE:
        with board.step(LIMITS) as claimed:
            (tmp_path / CHECKPOINT_FILE).write_bytes(content)
            board._artifacts._upload(claimed._try, tmp_path / CHECKPOINT_FILE)
        with helping.step(LIMITS) as claimed:
            claimed.bring()
        line = said[-1]
        assert line.startswith("donor-seed-0: its checkpoint cannot be brought, it begins anew: ")
        assert re.search(reason, line)
    assert len(said) == len(NONE)
    assert not away.folder_of(away.first).exists()
    assert not (tmp_path / "evil").exists()


def test_a_store_that_is_full_costs_no_training(two, tmp_path):
    boards, said = two
    (tmp_path / "full").mkdir()
    (board, here), (helping, away) = boards(Full(str(tmp_path / "full")), checkpoints=True)
    with board.step(LIMITS) as claimed:
        trained(claimed, here)
    with board.step(LIMITS):
        pass
    with helping.step(LIMITS) as claimed:
        told = trained(claimed, away)

    assert told.observation.donor == here.first.architecture
    assert any("its log and weights are not kept: [Errno 28]" in line for line in said)
    assert any("donor-seed-0 cannot be brought" in line for line in said)


@pytest.mark.parametrize("store_url", ["s3", "gs"], indirect=True)
def test_a_bucket_that_is_gone_costs_no_training(two, store_url):
    boards, said = two
    (board, here), _ = boards(open_artifacts(store_url), checkpoints=True)
    remove_bucket(store_url)

    with board.step(LIMITS) as claimed:
        told = trained(claimed, here)

    assert told.observation.source == "donor-seed-0"
    *checkpoints, last = [line.partition(": ") for line in said]
    assert {line[2].partition(":")[0] for line in checkpoints} == {"its checkpoint is not kept"}
    assert last[2].startswith("its log and weights are not kept: ")
    assert re.search(r"NoSuchBucket|404", last[2])


def test_sizes_are_said_before():
    workplace = begun().workplace
    train_task(workplace, workplace.first, Place())
    weights = workplace.folder_of(workplace.first) / WEIGHTS_FILE

    said = sizes_text(workplace, checkpoints=True)
    size = float(re.search(r"about ([\d.]+) MB of weights", said)[1])
    assert size == pytest.approx(weights.stat().st_size / 1e6, rel=0.2, abs=0.1)
    assert "checkpoints" not in sizes_text(workplace, checkpoints=False)
