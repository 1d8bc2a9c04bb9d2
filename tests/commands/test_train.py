import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from image_folders import write_pictures
from training_support import scripted, small_asked

from repvit_nas.commands import _run
from repvit_nas.training.records import read_training
from repvit_nas.training.run import train as train_run

QUICK = ["--data", "shapes", "--train-images", "96", "--val-images", "24", "--resolution", "32"]
QUICK += ["--epochs", "1", "--threads", "1", "--set", "warmup_epochs=0"]


@pytest.mark.slow
def test_train_export_and_check_in_a_row(here, capsys):
    assert _run(["train", "small.json", *QUICK], debug=True) == 0
    said = capsys.readouterr().out
    run = "results/train-small-shapes"
    assert "small on shapes: top-1" in said
    assert run in said
    assert (here / run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert _run(["export", run, "--format", "onnx", "--images", "10"], debug=True) == 0
    assert "10" in capsys.readouterr().out
    assert _run(["check", run], debug=True) == 1  # too narrow for the search space
    shown = capsys.readouterr().out
    assert "BROKEN" in shown
    assert "form onnx" in shown
    assert _run(["show", run, "--space", "repvit"], debug=False) == 1  # RUN is an ARCH as well
    assert "is not in space" in capsys.readouterr().err


def test_a_record_is_printed_as_json(here, capsys):
    assert _run(["train", "small.json", *QUICK, "--out", "run", "--json"], debug=True) == 0

    record = json.loads(capsys.readouterr().out)
    assert record["asked"]["architecture"]["num_classes"] == 24
    assert record["outcome"]["val_images"] == 24
    assert record["versions"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "lr"], "--set must look like"),
        (["--set", "speed=1"], "value of a recipe 'speed' is not known"),
        (["--recipe", "slow"], "recipe 'slow' is not known"),
        (["--teacher", "nobody"], "teacher 'nobody' is missing"),
        (["--init", "nothing"], "is neither random"),
        (["--device", "tpu9"], "--device tpu9: is not here"),
        (["--amp", "int4"], "--amp must be"),
        (["--batch", "500"], "fewer than the 500 of one update"),
        (["--resume"], "no training run to go on with"),
        (["--data", "nowhere"], "--train-images means nothing for --data nowhere"),
    ],
)
def test_a_wrong_argument_is_one_line(here, capsys, arguments, message):
    changes = ["--init", "random"] if "--init" not in arguments else ["--recipe", "quick"]
    code = _run(["train", "small.json", *QUICK, *changes, *arguments], debug=False)

    said = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert said[-1].startswith("error: ")
    assert message in said[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads", "0"],
        ["--workers", "-1"],
        ["--resolution", "7"],
        ["--seed", "99999999999999999999999"],
        ["--save-every", "-3"],
    ],
)
def test_a_number_out_of_range_is_refused_as_usage(here, capsys, arguments):
    assert _run(["train", "small.json", *QUICK, *arguments], debug=False) == 2

    said = capsys.readouterr().err
    assert arguments[0] in said
    assert "is not in the range" in said


def test_one_line_starts_a_training_and_goes_on_with_it(here, capsys):
    words = ["train", "small.json", *QUICK, "--out", "run", "--resume", "auto"]

    for said in ("epoch 1/1: training loss", "was finished before"):
        assert _run(words, debug=True) == 0
        printed = capsys.readouterr()
        assert said in printed.err
        assert "top-1" in printed.out
    assert _run([*words, "--seed", "3"], debug=False) == 1
    assert "was started with other arguments: seed 0 -> 3" in capsys.readouterr().err


RESTARTED = """
import os, signal, sys
from pathlib import Path
from repvit_nas.training.place import Place
from repvit_nas.training.run import train
from training_support import small_asked

def progress(doing, done, total):
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

train(small_asked(), "run", Place(save_every=1), resume="auto", progress=progress)
"""


@pytest.mark.slow
def test_torchrun_restarts_a_killed_training_to_the_same_weights(here):
    """One command line survives preemption: torchrun --max-restarts."""
    (here / "restarted.py").write_text(RESTARTED)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node=1", "--max-restarts=1", "restarted.py"),
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    train_run(small_asked(), here / "whole")

    weights = [(here / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert weights[0] == weights[1]


def test_an_encoder_learns_a_teachers_map(here, capsys):
    teacher = scripted(here)
    write_pictures(here / "pictures", 12)
    asked = ["train", "small.json", "--data", "pictures", "--resolution", "64", "--threads", "1"]
    match = ["--task", "match", "--teacher", teacher, "--epochs", "1", "--batch", "4"]

    assert _run([*asked, *match, "--cache", "maps", "--out", "run"], debug=True) == 0

    said = capsys.readouterr()
    assert "maps of 12 pictures take" in said.err
    assert "squared error" in said.out
    assert list((here / "maps").glob("maps-*.f16"))
    assert read_training(here / "run").asked.architecture.output == "sam"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--task", "match"], "--task match needs --teacher"),
        (["--task", "match", "--teacher", "none"], "--task match needs --teacher"),
        (["--cosine", "1"], "--cosine is for --task match; leave it out"),
        (["--output", "sam"], "--output is for --task match; leave it out"),
        (["--task", "match", "--teacher", "x.onnx"], "x.onnx: cannot be read"),
    ],
)
def test_options_of_the_other_task_are_refused(here, capsys, more, words):
    assert _run(["train", "small.json", "--data", "shapes", *more], debug=False) == 1
    assert words in capsys.readouterr().err


TWO = """
import os, signal, sys
from repvit_nas.errors import RepvitNasError
from repvit_nas.training.run import Place, train
from training_support import small_asked
import msgspec

def progress(doing, done, total):
    if "LOST" in os.environ and os.environ["RANK"] == "1" and done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

asked = msgspec.structs.replace(small_asked(), processes=2)
resume = "LOST" not in os.environ
try:
    train(asked, "run", Place(save_every=1), resume=resume, progress=progress)
except RepvitNasError as error:
    sys.exit(f"error: {error}")
"""


def two_processes(here, **environment):
    """Train with two processes; return how each ended and what it said last."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = os.environ | environment | {
        "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    both = [
        subprocess.Popen(
            [sys.executable, "two.py"],
            cwd=here,
            env=there | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    second = both[1].communicate(timeout=240)[1]
    first = both[0].communicate(timeout=60)[1]  # whatever ends one ends both within a minute
    return [(both[0].returncode, first), (both[1].returncode, second)]


@pytest.mark.slow
def test_a_lost_process_points_to_resume_and_that_goes_on(here):
    """Two processes over gloo; the second is killed in its third update, as a machine that dies."""
    (here / "two.py").write_text(TWO)

    (code, said), (killed, _) = two_processes(here, LOST="1")

    assert killed == -signal.SIGKILL
    assert code == 1
    assert "another process of this training is gone" in said
    assert "with the same command and --resume" in said
    assert "Traceback" not in said

    for code, said in two_processes(here):
        assert code == 0, said
    assert (here / "run" / "model.safetensors").is_file()
