"""measure-accuracy, work and status on one storage, as a user with two machines goes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support import ROOT

from repvit_nas.campaign.status import status_of
from repvit_nas.campaign.study import open_study
from repvit_nas.errors import UnknownNameError
from repvit_nas.searching.shared import Sharing

STORAGE = ("--storage", "sqlite:///s.db", "--name", "toys")
CAMPAIGN = (
    "measure-accuracy", *STORAGE, "--data", "shapes", "--train-images", "48", "--val-images", "24",
    "--device", "cpu-epyc", "--foreign", "--space", "cifar", "--budget-ms", "0.15", "--epochs", "1",
    "--set", "batch=16", "--networks", "2", "--held-out", "1", "--threads", "1", "--anyway",
)  # fmt: skip


def test_a_campaign_is_shared_helped_and_looked_at(invoke, elsewhere):
    code, out, err = invoke(*CAMPAIGN, "--json")
    assert code == 0, err
    trained = json.loads(out)["trained"]

    code, out, err = invoke("work", *STORAGE, "--data", "shapes", "--threads", "1")
    assert code == 0, err
    assert out == "0 trainings here. Ended: 2 networks are trained, as many as asked for.\n"

    code, out, _ = invoke("status", *STORAGE)
    assert code == 0
    assert "top-1" in out
    assert "3 trainings finished, 0 left. Ended: 2 networks are trained" in out
    code, out, _ = invoke("status", *STORAGE, "--json")
    status = json.loads(out)
    assert sorted(each["task"] for each in status["trained"]) == trained
    assert status["running"] == []
    assert status["waiting"] == []

    code, out, err = invoke(*CAMPAIGN, "--band", "0.2")
    assert code == 1
    assert "was begun with other arguments" in err.splitlines()[-1]
    code, _, err = invoke("work", *STORAGE, "--data", "photos")
    assert code == 1
    assert "photos: cannot be the images of the campaign 'toys'" in err.splitlines()[-1]
    for words in (
        ("work", *STORAGE, "--data", "shapes"),
        CAMPAIGN,
        ("train", "repvit_m0_6", "--data", "shapes", "--seeds", "2"),
    ):
        code, _, err = invoke(*words, "--nproc", "2")
        assert code == 1
        assert "--nproc 2: an update adds up accumulate = 1" in err.splitlines()[-1]
    code, _, err = invoke("work", *STORAGE, "--data", "shapes", "--nproc", "0")
    assert code == 2
    assert "0 is not in the range x>=1" in err
    code, _, err = invoke("work", *STORAGE, "--data", "shapes", "--on", "cuda")
    assert code == 1
    assert "cuda: is not here" in err.splitlines()[-1]
    code, _, err = invoke(
        "search", "--budget-ms", "1", "--storage", "sqlite:///s.db", "--study-name", "toys"
    )
    assert code == 1
    assert "holds a study 'toys' already" in err.splitlines()[-1]


def test_who_is_asked_to_go_gives_the_training_back_at_once(elsewhere):
    """As a scheduler asks before it takes a machine away: nobody was lost, nobody waits a minute."""
    words = [*CAMPAIGN, "--train-images", "20000"]
    with (
        subprocess.Popen(
            [sys.executable, "-m", "repvit_nas", *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        open_study(Sharing("sqlite:///s.db", "toys")) as study,
    ):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with contextlib.suppress(UnknownNameError):
                study.join()
                if any(each.by for each in study.look().running if each.task.name != "plan-0"):
                    break
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        status = status_of(study)

    assert process.returncode == 130
    assert said.splitlines()[-1] == "error: interrupted"
    assert (status.lost, status.running, status.waiting) == (0, (), ("donor-seed-0",))


NOWHERE = "postgresql://me:geheim@127.0.0.1:9/db"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("work", "--name", "n", "--data", "shapes"), "work needs --storage"),
        (("status", "--name", "n"), "status needs --storage"),
        (("status", "--name", "n", "--storage", "sqlite:///new.db"), "no file new.db"),
        (
            ("work", "--name", "n", "--data", "shapes", "--storage", "journal:///new.log"),
            "measure-accuracy with this --storage begins a campaign in a new one",
        ),
        (("status", "--name", "n", "--storage", NOWHERE, "--wait", "0"), "cannot be opened"),
        (
            ("work", "--name", "n", "--data", "shapes", "--storage", NOWHERE, "--wait", "0.2"),
            "cannot be opened",
        ),
        (
            ("work", "--name", "n", "--data", "shapes", "--storage", NOWHERE, "--hours", "0"),
            "--hours must be above 0",
        ),
    ],
)
def test_what_cannot_be_is_one_line(invoke, elsewhere, words, said):
    pytest.importorskip("psycopg")
    code, out, err = invoke(*words)

    assert code == 1
    assert not out
    assert said in err.splitlines()[-1]
    assert "geheim" not in err
    assert err.count("\n") <= 2, "a line for the wait, and one for the error"
    assert not [*elsewhere.glob("new.*")]


def test_a_storage_without_the_campaign_says_how_one_is_begun(invoke, elsewhere):
    with open_study(Sharing("sqlite:///s.db", "other")):
        pass

    for words in (("status",), ("work", "--data", "shapes")):
        code, _, err = invoke(*words, "--name", "n", "--storage", "sqlite:///s.db")

        assert code == 1
        assert "campaign 'n' is not known" in err
        assert (
            "a new one is begun by measure-accuracy, or train --seeds, with the same --storage"
            in err
        )
