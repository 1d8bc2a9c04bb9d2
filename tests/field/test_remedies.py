"""Whatever an error message says to do is accepted when it is done."""

import ast
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support import ROOT
from writers import SHIPPED_RUN, TRAINED, lay_phone, lay_reports, lay_trained

from repvit_nas.commands import COMMANDS, cli, main

PACKAGE = ROOT / "repvit_nas"
# Options of other programs that messages name.
FOREIGN = {"--upgrade", "--nnodes", "--nproc-per-node", "--standalone", "--find", "--switch"}
# Modules that speak to Apple's tools.
TO_APPLE = (
    "coreml/app",
    "coreml/client",
    "coreml/xcrun",
    "coreml/mac",
    "coreml/importers",
)
SMALL = TRAINED / "architecture.json"
SEARCH = f"search --budget-ms 1 --space {ROOT / 'tests' / 'small.toml'}"
TRAIN = (
    "train repvit_m0_6 --data shapes --train-images 96 --val-images 24 --resolution 32 --epochs 1 "
    "--threads 1 --set warmup_epochs=0"
)


def _search(*more: str) -> Callable[[], None]:
    return lambda: succeed(f"{SEARCH} --trials 4 {' '.join(more)}")


def _other_files() -> None:
    Path("r").mkdir()
    Path("r/notes.txt").write_text("mine")


def _other_figures() -> None:
    """Fit a device to figures that it has no longer."""
    shutil.copytree(ROOT / "latency_lut" / "iphone13", "latency_lut/iphone13")
    path = Path("latency_lut/iphone13/published.csv")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def _page() -> None:
    Path("report.html").write_text("mine")


def _own(rows: str) -> Callable[[], None]:
    def lay() -> None:
        lay_phone()
        Path("own.csv").write_text(f"architecture,latency_ms,tool\n{rows}\n")

    return lay


def _wide() -> None:
    """Leave a network outside the space, and a space that holds it."""
    document = json.loads((TRAINED / "architecture.json").read_text())
    document |= {"resolution": 224, "num_classes": 1000}
    for stage, width in zip(document["stages"], (8, 16, 24, 32), strict=True):
        stage |= {"width": width, "depth": 1, "se": "0"}
    Path("a.json").write_text(json.dumps(document))
    stage = "[[stages]]\nwidth = { min = 8, max = 64, step = 8 }\ndepth = { min = 1, max = 2 }\n"
    stage += 'se = ["none"]\nexpansion = [2.0]\n'
    Path("wide.toml").write_text('schema = 1\nname = "wide"\n' + 4 * stage)


class Remedy(NamedTuple):
    """A message, and what it says to do.

    Attributes:
        words: A command line that is refused.
        said: What the message must hold, a pattern.
        done: What is done then: command lines, each of which must be accepted on its own.
        lay: What has to be there.
    """

    words: str
    said: str
    done: tuple[str, ...]
    lay: Callable[[], None] = lambda: None


REMEDIES = {
    "more trials": Remedy(
        f"{SEARCH} --trials 8 --out r",
        "go on with --resume, start again with --overwrite, or choose another folder with --out",
        tuple(
            f"{SEARCH} --trials 8 {do}"
            for do in ("--out r --resume", "--out r --overwrite", "--out q")
        ),
        _search("--out", "r"),
    ),
    "another search's folder": Remedy(
        f"{SEARCH} --trials 4 --seed 1 --out r",
        "choose another folder with --out, or replace it with --overwrite",
        tuple(f"{SEARCH} --trials 4 --seed 1 {do}" for do in ("--out q", "--out r --overwrite")),
        _search("--out", "r"),
    ),
    "nothing to resume": Remedy(
        f"{SEARCH} --trials 4 --out r --resume",
        "leave out --resume",
        (f"{SEARCH} --trials 4 --out r",),
    ),
    "other files": Remedy(
        f"{SEARCH} --trials 4 --out r",
        "choose another folder with --out",
        (f"{SEARCH} --trials 4 --out q",),
        _other_files,
    ),
    "a shared study": Remedy(
        f"{SEARCH} --trials 8 --storage sqlite:///s.db --out q",
        "join in with --resume, or start every worker with --resume auto",
        tuple(
            f"{SEARCH} --trials 8 --storage sqlite:///s.db --out q {do}"
            for do in ("--resume", "--resume auto")
        ),
        _search("--storage", "sqlite:///s.db", "--out", "r"),
    ),
    "another study": Remedy(
        f"{SEARCH} --trials 4 --seed 2 --storage sqlite:///s.db --out q --resume",
        "give another --study-name",
        (f"{SEARCH} --trials 4 --seed 2 --storage sqlite:///s.db --out q --study-name two",),
        _search("--storage", "sqlite:///s.db", "--out", "r"),
    ),
    "merge into a run": Remedy(
        "merge one two --out one",
        "choose another folder with --out, or replace it with --overwrite",
        ("merge one two --out q", "merge one two --out one --overwrite"),
        lambda: [_search("--out", "one")(), _search("--out", "two", "--seed", "1")()][0],
    ),
    "a page that is there": Remedy(
        f"report {SHIPPED_RUN}",
        "give --overwrite, or another --out",
        (f"report {SHIPPED_RUN} --overwrite", f"report {SHIPPED_RUN} --out q.html"),
        _page,
    ),
    "other figures": Remedy(
        "predict repvit_m0_9 --device iphone13",
        "run repvit-nas fit --device iphone13",
        ("fit --device iphone13",),
        _other_figures,
    ),
    "another machine": Remedy(
        "predict repvit_m0_9 --device cpu-epyc",
        "accept the other's figures with --foreign",
        ("predict repvit_m0_9 --device cpu-epyc --foreign",),
    ),
    "outside what was measured": Remedy(
        "predict a.json --space wide.toml --device cpu-epyc --foreign --outside raise",
        "--outside flag or --outside clip",
        tuple(
            f"predict a.json --space wide.toml --device cpu-epyc --foreign --outside {do}"
            for do in ("flag", "clip")
        ),
        _wide,
    ),
    "outside the space": Remedy(
        "predict a.json",
        "a wider space can be given with --space",
        ("predict a.json --space wide.toml",),
        _wide,
    ),
    "latencies unlike the predicted": Remedy(
        "import-latencies own.csv --device iphone12",
        "import them as they are with --unlike-predicted",
        ("import-latencies own.csv --device iphone12 --unlike-predicted",),
        _own("repvit_m0_9,5,stopwatch\nrepvit_m1_0,5.5,stopwatch"),
    ),
    "latencies that no model fits": Remedy(
        "import-latencies own.csv --device iphone12",
        "import them as another device, with --device NAME --like iphone12",
        ("import-latencies own.csv --device slow --like iphone12",),
        _own("repvit_m0_9,90,stopwatch\nrepvit_m1_0,91,stopwatch"),
    ),
    "latencies that no model fits, insisted on": Remedy(
        "import-latencies own.csv --device iphone12 --unlike-predicted",
        "nothing was written: correct them, or import them as another device, with --device NAME "
        "--like iphone12",
        ("import-latencies own.csv --device slow --like iphone12",),
        _own("repvit_m0_9,90,stopwatch\nrepvit_m1_0,91,stopwatch"),
    ),
    "reports unlike the predicted": Remedy(
        "import-measurements reports --device iphone12",
        "import them as they are with --unlike-predicted",
        ("import-measurements reports --device iphone12 --unlike-predicted",),
        lambda: lay_reports(5.0),
    ),
    "a new device": Remedy(
        "import-latencies own.csv --device pixel8",
        "for a new one give --like",
        ("import-latencies own.csv --device pixel8 --like iphone12",),
        _own("repvit_m0_9,2,stopwatch\nrepvit_m1_0,2.2,stopwatch"),
    ),
    "a run that is there": Remedy(
        f"{TRAIN} --out r",
        "go on with it with --resume .--resume auto starts or goes on., or choose another folder with --out",
        tuple(f"{TRAIN} {do}" for do in ("--out r --resume", "--out r --resume auto", "--out q")),
        lambda: succeed(f"{TRAIN} --out r"),
    ),
    "no run to go on with": Remedy(
        f"{TRAIN} --out r --resume", "--resume auto starts one", (f"{TRAIN} --out r --resume auto",)
    ),
    "files in the way of a run": Remedy(
        f"{TRAIN} --out r", "choose another folder with --out", (f"{TRAIN} --out q",), _other_files
    ),
    "an untrained network's folder": Remedy(
        f"export {SMALL} --format onnx",
        "say with --out DIR",
        (f"export {SMALL} --format onnx --out q",),
    ),
    "a run's forms": Remedy(
        "export run --format onnx --out q",
        "leave out --out",
        ("export run --format onnx",),
        lay_trained,
    ),
    "an ONNX file's opset": Remedy(
        "export run --opset 17 --format coreml",
        "add onnx to --format, or leave it out",
        ("export run --opset 17 --format onnx", "export run"),
        lay_trained,
    ),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_what_a_message_says_to_do_is_accepted(name, tmp_path, monkeypatch, capfd):
    remedy = REMEDIES[name]
    for number, done in enumerate(remedy.done):
        home = tmp_path / str(number)
        home.mkdir()
        monkeypatch.chdir(home)
        remedy.lay()
        capfd.readouterr()

        code = call(remedy.words)
        said = capfd.readouterr().err

        assert code == 1, said
        assert re.search(remedy.said, said), said
        assert call(done) == 0, capfd.readouterr().err


def call(words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(words.split())
    return end.value.code


def succeed(words: str) -> None:
    assert call(words) == 0


def told() -> Iterator[tuple[str, str]]:
    """Return the texts of the package that a user may read, with the module of each."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in docstrings
            ):
                yield path.relative_to(PACKAGE).as_posix(), node.value


def options() -> set[str]:
    """Return the options of all commands."""
    commands = [cli.get_command(None, name) for name in COMMANDS]
    return {
        option
        for command in commands
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help", "--version"}


def test_every_option_that_a_message_names_is_one():
    known = options() | FOREIGN
    unknown = {
        (module, option)
        for module, text in told()
        if not module.startswith(TO_APPLE)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)
        if option not in known
    }

    assert not unknown


def test_every_command_that_a_message_names_is_one():
    unknown = {
        (module, command)
        for module, text in told()
        for command in re.findall(r"repvit-nas ([a-z]+(?:-[a-z]+)*)", text)
        if command not in COMMANDS
    }

    # "another repvit-nas takes times", and what the studies of a campaign are called
    studies = {("campaign/study.py", "campaign"), ("campaign/study.py", "trainings")}
    assert unknown == {("folders.py", "takes"), *studies}
