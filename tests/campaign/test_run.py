import json
import signal
import subprocess
import sys
import time

import msgspec
import pytest
import torch
from campaign_support import asked, begun
from support import ROOT

from repvit_nas.accuracy.observations import ObservationLog, nameless
from repvit_nas.accuracy.trained import load_estimator
from repvit_nas.campaign.board import CampaignLimits
from repvit_nas.campaign.opening import open_campaign
from repvit_nas.campaign.planning import state_of
from repvit_nas.campaign.records import TrainingTask, task_log
from repvit_nas.campaign.run import run_campaign
from repvit_nas.campaign.validation import validation_of
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.spec import DataSpec


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def test_a_campaign_trains_fits_and_goes_on(tmp_path):
    said = []
    outcome = run_campaign(begun(), CampaignLimits(networks=3), say=said.append)

    roles = [task.role for task in outcome.state.tasks]
    assert roles.count("donor") == 1
    assert roles.count("chosen") == 2
    assert roles.count("held out") == 2
    assert set(outcome.state.finished) == {task.name for task in outcome.state.tasks}
    assert outcome.fitted.networks == 3
    seen = ObservationLog(outcome.folder).read()
    assert [each.start for each in seen][:2] == ["random", "donor"]
    assert sum(each.held_out for each in seen) == 2
    assert load_estimator("shapes").file == outcome.fitted

    again = run_campaign(begun(), CampaignLimits(networks=4))
    assert len(again.state.finished) > len(outcome.state.finished)
    assert ObservationLog(outcome.folder).read()[: len(seen)] == seen


def test_held_out_networks_are_drawn_before_anything_is_chosen(tmp_path):
    first = begun("one").file
    second = begun("two", seed=1, data=DataSpec(name="shapes", train_images=72, val_images=24)).file

    assert len(first.held_out) == 2
    assert first.held_out != second.held_out
    outcome = run_campaign(begun("one"), CampaignLimits(networks=3))
    held_out = {nameless(each) for each in first.held_out}
    chosen = {nameless(task.architecture) for task in outcome.state.tasks if task.role == "chosen"}
    assert not held_out & chosen


def test_hours_stop_before_a_training_that_would_not_end(tmp_path):
    said = []
    outcome = run_campaign(begun(), CampaignLimits(networks=3, hours=1e-6), say=said.append)

    assert not outcome.state.finished
    assert "the next training would end after" in outcome.reason
    assert any(line.startswith("about 0 trainings") for line in said)


def test_a_training_that_diverges_is_named_and_left_out(tmp_path):
    campaign = begun()
    run_campaign(campaign, CampaignLimits(networks=2))
    tasks = [each for each in campaign.tasks.read() if isinstance(each, TrainingTask)]
    wild = msgspec.structs.replace(tasks[0], name="wild", role="chosen")
    campaign.tasks.append(wild)
    broken = campaign.workplace.trainings / "wild"
    broken.mkdir()
    (broken / "notes.txt").write_text("not a run")

    said = []
    outcome = run_campaign(campaign, CampaignLimits(networks=2), say=said.append)
    assert list(outcome.state.failed) == ["wild"]
    assert any(line.startswith("wild: left out:") for line in said)
    assert outcome.fitted is not None


def test_a_recipe_by_which_nothing_can_be_trained_is_told_at_once(tmp_path):
    campaign = begun(recipe={"lr": 1e4, "warmup_epochs": 0, "epochs": 3})

    with pytest.raises(
        RepvitNasError, match=r"(cannot be trained|failed one after the other).*(finite|diverged)"
    ):
        run_campaign(campaign, CampaignLimits(networks=3))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"data": DataSpec(name="shapes", train_images=48, val_images=24, seed=1)},
            "data.seed 0 -> 1",
        ),
        ({"recipe": {"lr": 0.1}}, r"recipe.lr 0.004 -> 0.1"),
        ({"band": 0.2}, "band 0.1 -> 0.2"),
    ],
)
def test_the_same_name_goes_on_only_with_the_same(changes, said):
    begun()

    with pytest.raises(RepvitNasError, match=rf"{said}; give the same ones, or another --name"):
        begun(**changes)


def test_two_names_for_one_data_set_are_refused(tmp_path):
    run_campaign(begun("one"), CampaignLimits(networks=2))

    with pytest.raises(RepvitNasError, match="are known as 'one' already; go on with --name one"):
        begun("two")
    begun("two", recipe={"lr": 0.001})  # by another recipe it is another question


def test_changed_images_are_noticed(tmp_path):
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number in range(60):
        split = "val" if number % 3 == 0 else "train"
        place = tmp_path / "photos" / split / str(digits.target[number] % 2)
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[number] * 15).astype("uint8")
        Image.fromarray(pixels).resize((32, 32)).save(place / f"{number}.png")
    spec = DataSpec(name=str(tmp_path / "photos"))
    begun("photos", data=spec)
    begun("photos", data=spec)
    next((tmp_path / "photos" / "train" / "0").iterdir()).unlink()

    with pytest.raises(RepvitNasError, match="are not those it was begun with"):
        begun("photos", data=spec)


def test_too_few_validation_images_are_told_with_the_tau_they_cap():
    with pytest.raises(
        RepvitNasError, match=r"24 validation images: .* tau 0\.0\d at most.*--anyway"
    ):
        open_campaign("shapes", asked(), foreign=True)


def test_a_campaign_of_one_network_says_that_it_tells_nothing(tmp_path):
    said = []
    outcome = run_campaign(begun(), CampaignLimits(networks=1), say=said.append)

    assert outcome.fitted is None
    assert any("at least 2 different ones are needed" in line for line in said)
    assert validation_of(outcome.folder) is None


_WORKER = """
import sys, torch
torch.set_num_threads(1)
sys.path[:0] = {path!r}
from campaign_support import begun
from repvit_nas.campaign.board import CampaignLimits
from repvit_nas.campaign.run import run_campaign
run_campaign(begun(), CampaignLimits(networks=4))
"""


def worker():
    code = _WORKER.format(path=[str(ROOT / "tests"), *sys.path])
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_campaign_survives_kill_at_any_moment(tmp_path):
    process = worker()
    log = task_log(tmp_path / "predictors" / "accuracy" / "shapes")
    ended = time.monotonic() + 120
    while time.monotonic() < ended and len(log.read() if log.path.exists() else []) < 4:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = ObservationLog(log.path.parent).read()

    outcome = run_campaign(begun(), CampaignLimits(networks=4))
    seen = ObservationLog(outcome.folder).read()
    assert seen[: len(before)] == before
    assert len(seen) == len({each.source for each in seen}) == len(outcome.state.finished)
    assert not outcome.state.open


def test_two_processes_share_a_campaign(tmp_path):
    one, two = worker(), worker()

    assert one.wait(timeout=300) == two.wait(timeout=300) == 0
    state = state_of(
        task_log(tmp_path / "predictors" / "accuracy" / "shapes").read(),
        ObservationLog(tmp_path / "predictors" / "accuracy" / "shapes").read(),
    )
    assert not state.open
    assert len(state.observations) == len(state.tasks) == len({t.name for t in state.tasks})
    assert not [each for each in state.failed.values() if each]


def test_the_files_are_plain(tmp_path):
    outcome = run_campaign(begun(), CampaignLimits(networks=2))

    fitted = json.loads((outcome.folder / "posterior.json").read_text())
    assert fitted["schema"] == 1
    assert len(fitted["covariance"]) == len(fitted["mean"]) == len(fitted["features"])
    assert json.loads((outcome.folder / "campaign.json").read_text())["asked"]["band"] == 0.1
