"""An option of `train` is honoured or refused, whatever the images are."""

import json

import pytest
import torch
from image_folders import folder
from training_support import small

from repvit_nas.architecture import write_architecture
from repvit_nas.commands import _run
from repvit_nas.commands.train import command
from repvit_nas.training.records import read_training

# Each option with a value that changes something, and with what takes it; the others refuse it.
OF_DATA = {
    "--data-root": ("elsewhere", {"named"}),
    "--train-split": ("other", {"named", "folder"}),
    "--val-split": ("other", {"named", "folder"}),
    "--num-classes": ("7", set()),  # none of these has seven
    "--download": (None, {"named"}),
    "--train-images": ("48", {"shapes"}),
    "--val-images": ("48", {"shapes"}),
    "--skip-bad-images": (None, {"folder"}),
}
# Honoured for all images, as the record of one run shows, or by a test that is named.
RECORDED = {
    "--recipe": ("quick", None),
    "--set": ("smoothing=0.05", ("recipe", "smoothing", 0.05)),
    "--epochs": ("1", ("recipe", "epochs", 1)),
    "--batch": ("16", ("recipe", "batch", 16)),
    "--accumulate": ("2", ("recipe", "accumulate", 2)),
    "--lr": ("0.003", ("recipe", "lr", 0.003)),
    "--seed": ("5", ("seed", 5)),
    "--resolution": ("32", ("architecture", "resolution", 32)),
    "--amp": ("bf16", ("precision", "bf16")),
    "--init": ("random", ("init", "random")),
    "--teacher": ("none", ("recipe", "teacher", "none")),
    "--threads": ("1", None),
    "--workers": ("1", None),
    "--device": ("cpu", None),
    "--no-channels-last": (None, None),
    "--save-every": ("1", None),
}
ELSEWHERE = {"--data", "--out", "--json", "--debug", "--help"}  # every test here gives them
# tests/training/test_run.py tries these.
TRIED = {"--resume", "--tensorboard", "--compile", "--channels-last"}
# tests/commands/test_train.py and tests/training/test_matching.py try these.
TRIED |= {"--task", "--cosine", "--cache", "--output"}
# tests/commands/test_several.py tries these.
TRIED |= {
    "--seeds",
    "--train-family",
    "--storage",
    "--name",
    "--wait",
    "--artifacts",
    "--keep-checkpoints",
    "--nproc",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_architecture(tmp_path / "small.json", small())
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def test_every_option_of_train_is_tried():
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}

    assert {name for name in known if name.startswith("--")} - ELSEWHERE - TRIED == {
        *OF_DATA,
        *RECORDED,
    }


@pytest.mark.parametrize("option", OF_DATA)
@pytest.mark.parametrize("kind", ["digits", "shapes", "folder", "named"])
def test_an_option_of_the_data_that_means_nothing_for_them_is_refused(here, capsys, option, kind):
    folder(here / "data", images=1)
    value, takes = OF_DATA[option]
    if kind in takes:
        pytest.skip("means something here")
    data = {"folder": "data", "named": "hfds/data"}.get(kind, kind)
    words = ["train", "small.json", "--data", data, option, *([] if value is None else [value])]
    if kind == "named" and option == "--num-classes":
        pytest.importorskip("datasets")
        words += ["--val-split", "validation"]
    if kind == "named" and option == "--download":
        pytest.skip("hfds/ downloads by itself: below")

    assert _run(words, debug=False) == 1
    assert option in capsys.readouterr().err


def test_a_download_that_timm_does_not_do_is_refused(here, capsys):
    assert _run(["train", "small.json", "--data", "wds/x", "--download"], debug=False) == 1
    assert "--download means nothing for --data wds/x" in capsys.readouterr().err


def test_what_is_honoured_is_in_the_record(here, capsys):
    words = ["train", "small.json", "--data", "shapes", "--train-images", "64", "--val-images"]
    words += ["24", "--out", "run", "--json"]
    for name, (value, _) in RECORDED.items():
        words += [name] if value is None else [name, value]

    assert _run(words, debug=True) == 0

    asked = json.loads(capsys.readouterr().out)["asked"]
    for _, shown in RECORDED.values():
        if shown is not None:
            found = asked
            for key in shown[:-1]:
                found = found[key]
            assert found == shown[-1], shown
    assert read_training(here / "run").outcome.updates == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "1", "--set", "epochs=3"], "epochs is given twice"),
        (["--set", "alpha=0.3"], "alpha means nothing where distillation is none"),
        (["--teacher", "resnet18", "--set", "distillation=none"], "teacher means nothing"),
        (["--set", "clip_mode=none", "--set", "clip=1"], "clip means nothing"),
    ],
)
def test_values_that_undo_each_other_are_refused(here, capsys, words, message):
    assert _run(["train", "small.json", "--data", "digits", *words], debug=False) == 1
    assert message in capsys.readouterr().err
