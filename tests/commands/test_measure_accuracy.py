"""measure-accuracy, import-accuracy, validate, search and show, as a user with images goes."""

import json
from pathlib import Path

import pytest

CAMPAIGN = (
    "measure-accuracy", "--name", "toys", "--data", "shapes", "--train-images", "48", "--val-images", "24",
    "--device", "cpu-epyc", "--foreign", "--space", "cifar", "--budget-ms", "0.15", "--epochs", "1",
    "--set", "batch=16", "--networks", "3", "--held-out", "5", "--threads", "1",
)  # fmt: skip


def test_from_images_to_a_front_to_finals(invoke, elsewhere):
    code, out, err = invoke(*CAMPAIGN)
    assert code == 1
    assert "24 validation images" in err
    assert "--anyway" in err

    code, out, err = invoke(*CAMPAIGN, "--anyway")
    assert code == 0, err
    assert "5 networks that no fit saw, 5 trainings" in out
    assert "Ended: 3 networks are trained, as many as asked for." in out
    assert "repvit-nas search --budget-ms cpu-epyc=0.15 --accuracy toys" in out

    code, out, _ = invoke("validate", "--accuracy", "toys", "--json")
    assert code == 0
    validation = json.loads(out)
    assert list(validation["rankings"]) == [
        "estimator", "family alone", "share-weighted log-MACs", "MACs", "parameters", "latency",
    ]  # fmt: skip

    code, out, err = invoke(
        "search", "--budget-ms", "cpu-epyc=0.15", "--foreign", "--space", "cifar", "--accuracy", "toys",
        "--trials", "50", "--out", "front", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert "accuracy: toys, from predictors/accuracy/toys" in err
    front = json.loads(out)
    assert (
        "on shapes at 32 px after recipe proxy, estimated from 3 networks"
        in front["accuracy_meaning"]
    )
    best = front["best"]
    assert best["architecture"]["resolution"] == 32
    assert best["architecture"]["num_classes"] == 24
    assert best["accuracy_source"] == "estimated"
    assert best["observed"] is None

    trained = "results/accuracy-toys/" + next(
        each.name for each in (elsewhere / "results" / "accuracy-toys").iterdir() if each.is_dir()
    )
    code, out, err = invoke(
        "show",
        trained,
        "--space",
        "cifar",
        "--device",
        "cpu-epyc",
        "--foreign",
        "--accuracy",
        "toys",
    )
    assert code == 0, err
    assert "; trained here: " in out
    code, out, err = invoke(
        "predict", trained, "--space", "cifar", "--device", "cpu-epyc", "--foreign", "--accuracy", "toys",
        "--json",
    )  # fmt: skip
    assert json.loads(out)["accuracy_source"] == "trained here"

    finals = (
        "measure-accuracy", "--finals", "front", "--data", "shapes", "--train-images", "48", "--val-images",
        "24", "--foreign", "--epochs", "1", "--set", "batch=16", "--seeds", "2", "--winners", "1",
        "--reference", trained, "--threads", "1",
    )  # fmt: skip
    code, out, err = invoke(*finals)
    assert code == 0, err
    assert "2 seeds): " in out.replace("\n", " ")
    code, _, err = invoke(*finals, "--nproc", "2", "--out", "several")
    assert code == 1
    assert "--nproc 2: an update adds up accumulate = 1" in err.splitlines()[-1]
    shared = ("--storage", "sqlite:///s.db", "--name", "last", "--artifacts", "store")
    code, _, err = invoke(*finals, *shared, "--out", "shared")
    assert code == 0, err
    assert Path("shared/finals.json").read_bytes() == Path("front/finals/finals.json").read_bytes()
    code, out, _ = invoke("status", *shared[:4])
    assert "4 trainings finished, 0 left. Ended: all trainings are made." in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "--budget-ms", "1", "--accuracy", "birds"], "known: family"),
        (["measure-accuracy", "--data", "shapes"], "needs --name and --budget-ms"),
        (["validate"], "either --device or --accuracy"),
        (["import-accuracy", "none.csv", "--name", "x"], "cannot be read"),
        ([*CAMPAIGN, "--anyway", "--hours", "0"], "--hours must be above 0"),
        ([*CAMPAIGN, "--anyway", "--budget-ms", "0.01"], "the nearest networks have"),
        ([*CAMPAIGN, "--name", "family", "--anyway"], "--name must be"),
    ],
)
def test_what_cannot_be_is_one_line(invoke, words, said):
    code, out, err = invoke(*words)

    assert code == 1
    assert not out
    assert said in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [
                *("--finals", "front", "--storage", "sqlite:///a.db", "--artifacts", "kept"),
                *("--hours", "1", "--networks", "24"),
            ],
            "the winners of a search: leave out --networks, --hours, which would",
        ),
        (["--finals", "front", "--name", "toys", "--seed", "1"], "leave out --seed, which"),
        (
            ["--name", "toys", "--budget-ms", "1", "--seeds", "2"],
            "is run: leave out --seeds, which",
        ),
    ],
)
def test_options_that_finals_or_a_campaign_do_not_take_are_refused(invoke, elsewhere, words, said):
    code, out, err = invoke("measure-accuracy", "--data", "shapes", *words)

    assert code == 2
    assert not out
    assert len(err.splitlines()) == 1
    assert said in err
    assert not list(elsewhere.iterdir())
