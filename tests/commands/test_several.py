"""`train` with several seeds and the family beside them, alone and with others' help."""

import json
from pathlib import Path

import pytest
from image_folders import write_pictures
from training_support import scripted

WORDS = (
    "train", "small.json", "--data", "shapes", "--train-images", "96", "--val-images", "24",
    "--resolution", "32", "--epochs", "1", "--threads", "1", "--set", "warmup_epochs=0",
    "--seeds", "2", "--train-family", "repvit_m0_9",
)  # fmt: skip
STORAGE = ("--storage", "sqlite:///s.db", "--name", "mine", "--artifacts", "store")


def trained(folder):
    """Return the weights below a folder, by the run."""
    found = Path(folder).rglob("model.safetensors")
    return {str(path.parent.relative_to(folder)): path.read_bytes() for path in found}


def test_seeds_and_family_are_made_alone_or_shared_and_put_together(invoke, here):
    code, out, err = invoke(*WORDS, "--out", "alone")
    assert code == 0, err
    assert "alone/seed-1" in out
    assert "4 trainings in all. Next: repvit-nas check alone/seed-0 alone/seed-1" in out
    alone = trained("alone")
    runs = ["seed-0", "seed-1"]
    assert sorted(alone) == sorted([*runs, *(f"{run}/family/repvit_m0_9" for run in runs)])

    code, out, err = invoke(*WORDS, *STORAGE, "--out", "shared", "--json")
    assert code == 0, err
    rows = json.loads(out)
    assert [row["seed"] for row in rows] == [0, 1]
    assert trained("shared") == alone
    assert not list(Path("shared").rglob("checkpoints"))
    code, out, err = invoke("work", *STORAGE, "--data", "shapes", "--threads", "1")
    assert code == 0, err
    assert out == "0 trainings here. Ended: all trainings are made.\n"
    code, out, err = invoke(*WORDS, *STORAGE, "--out", "elsewhere")  # the same line, later
    assert code == 0, err
    assert trained("elsewhere") == alone
    assert "training repvit_m0_9 by the same recipe" not in err
    assert (here / "elsewhere/seed-1/family/repvit_m0_9/curves.png").exists()
    code, out, _ = invoke("status", *STORAGE[:4])
    assert code == 0
    assert "4 trainings finished, 0 left. Ended: all trainings are made." in out

    code, out, err = invoke(
        *("check", "elsewhere/seed-0", "elsewhere/seed-1", "--train-family", "repvit_m0_9"),
        "--json",
    )
    assert code == 1, "the network is too narrow for the search space"
    variant, family = json.loads(out)["networks"]
    assert len(variant["top1"]) == len(family["top1"]) == 2
    assert variant["top1"] == [row["top1"] for row in rows]
    assert family["top1"] == [row["family"]["repvit_m0_9"] for row in rows]
    assert trained("elsewhere") == alone, "check had nothing left to train"

    code, _, err = invoke(*WORDS, "--out", "alone")
    assert code == 1
    assert "alone/seed-0: holds a training run already" in err.splitlines()[-1]
    code, _, err = invoke(*WORDS, "--out", "alone", "--resume")
    assert code == 0, err
    code, _, err = invoke(*WORDS, *STORAGE, "--out", "other", "--lr", "0.5")
    assert code == 1
    assert "begun with other arguments" in err.splitlines()[-1]
    code, _, err = invoke("work", *STORAGE[:4], "--data", "shapes")
    assert code == 1
    assert "work needs --artifacts" in err.splitlines()[-1]


def test_seeds_of_an_encoder_are_what_each_alone_is(invoke, here):
    """Their pictures come with a place and a size, and are not those that are kept for classifiers."""
    write_pictures(here / "pictures", 6)
    words = (
        *("train", "small.json", "--data", "pictures", "--resolution", "64", "--threads", "1"),
        *("--task", "match", "--teacher", scripted(here), "--epochs", "1", "--batch", "4"),
    )

    code, out, err = invoke(*words, "--seeds", "2", "--out", "both")
    assert code == 0, err
    assert "2 trainings in all" in out
    code, _, err = invoke(*words, "--seed", "1", "--out", "alone/seed-1")
    assert code == 0, err
    assert trained("alone")["seed-1"] == trained("both")["seed-1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (STORAGE[:2], "--storage needs --name"),
        (STORAGE[:4], "--storage needs --artifacts"),
        ((*STORAGE, "--name", "../mine"), "--name must be letters, digits"),
        (("--name", "mine"), "--name is what a campaign in a --storage is called"),
        (STORAGE[4:], "--artifacts needs --storage"),
        (("--keep-checkpoints",), "--keep-checkpoints needs --artifacts"),
        (("--seed", str(2**63 - 2)), "leaves no 2 seeds from there on"),
        (("--train-family", "repvit_m9"), "reference network 'repvit_m9' is not known"),
    ],
)
def test_what_means_nothing_together_is_one_line(invoke, here, words, said):
    code, _, err = invoke(*WORDS, "--out", "new", *words)

    assert code == 1
    assert said in err.splitlines()[-1]
    assert not (here / "new").exists()
    assert not (here / "s.db").exists()
