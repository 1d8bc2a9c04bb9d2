"""Each attack on names and trust, by name: what a hostile file or folder tries, and what comes of it."""

import csv
import io
import json
import os
import pickle
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from formats import checkpoint_files, measured_predictor, tensors, trainer_state
from support import ROOT

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.export.records import ExportRecord
from repvit_nas.folders import held
from repvit_nas.latency_lut.series import Sources
from repvit_nas.named import load_architecture
from repvit_nas.predictors.predictor import load_predictor, read_predictor
from repvit_nas.search_space.space_file import SpaceFile
from repvit_nas.searching.records import Result, front_columns
from repvit_nas.training.checkpoint import Checkpoints, read_tensors
from repvit_nas.training.log import log_csv
from repvit_nas.training.records import EpochRow, read_training
from repvit_nas.words import markdown, plain

TRAINED = ROOT / "results" / "shapes-30ms" / "seed-0"
SHIPPED_RUN = ROOT / "results" / "iphone12-1.0ms"
ESCAPES = ("\x1b[2J", "\x9b31m", "\x07", "\r", "\x7f", "\u202e")


# Links: nothing is read through one that leaves the folder; of writing see `test_writers.py`.


def test_check_follows_no_link_that_leaves_the_run(invoke, outside):
    shutil.copytree(TRAINED, "run")
    shutil.rmtree("run/family")
    Path("run/family").symlink_to(outside)

    code, _, err = invoke("check", "run", "--train-family", "repvit_m0_9")

    assert code == 1
    assert "family: is a link that leads out of run" in err


@pytest.mark.parametrize(
    ("run", "name"),
    [
        *((SHIPPED_RUN, name) for name in ("front.json", "run.json")),
        *((TRAINED, name) for name in ("training.json", "log.csv", "check.json")),
    ],
)
def test_a_report_reads_nothing_outside(run, name, invoke, outside):
    shutil.copytree(run, "run")
    Path("run", name).unlink()
    Path("run", name).symlink_to(outside / "kept.json")

    code, _, err = invoke("report", "run", "--out", "page.html")

    assert code == 1
    assert f"{name}: leads out of run" in err
    assert "theirs" not in err


def test_a_link_inside_a_folder_is_nobody_s_harm(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path.parent / "to-it").symlink_to(tmp_path)

    with held(tmp_path.parent / "to-it"):
        pass


# Names: what a file names lies in its folder.


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "..", "a/b", "a\nb", ""])
def test_a_name_in_a_record_stays_in_its_folder(name):
    exported = json.loads((TRAINED / "export.json").read_text())
    exported["forms"][0]["file"] = name
    sources = {"schema": 1, "sources": [{"series": name, "units": 1, "networks": 1}]}

    for document, kind in ((exported, ExportRecord), (sources, Sources)):
        with pytest.raises(FileError, match="matching regex"):
            files.convert("x", document, kind)


def test_a_winner_called_by_a_path_is_no_winner(tmp_path):
    shutil.copytree(SHIPPED_RUN, tmp_path / "run")
    document = json.loads((tmp_path / "run" / "front.json").read_text())
    (tmp_path / "run" / "front.json").write_text(json.dumps(document | {"winners": ["../../../n"]}))

    with pytest.raises(RepvitNasError, match="winner"):
        load_architecture(f"{tmp_path}/run:0")


def test_a_null_character_reaches_no_path(tmp_path):
    shutil.copy(TRAINED / "training.json", tmp_path)
    text = (tmp_path / "training.json").read_text()
    (tmp_path / "training.json").write_text(text.replace('"name": "shapes"', '"name": "a\\u0000"'))

    with pytest.raises(FileError, match="holds a null character"):
        read_training(tmp_path)


# Trust: another's files, and files beside which nobody may stumble.


def test_a_device_that_cannot_be_looked_into_hides_no_other(monkeypatch):
    """As a user who is not root: root may look into everything."""
    home = Path(tempfile.mkdtemp())
    home.chmod(0o755)
    hidden = home / "latency_lut" / "iphone13"
    hidden.mkdir(parents=True)
    hidden.chmod(0)
    monkeypatch.chdir(home)
    child = os.fork()
    if not child:
        status = 1
        try:
            if not os.geteuid():
                os.setuid(65534)
            load_predictor("iphone12")
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    hidden.chmod(0o700)
    shutil.rmtree(home)

    assert os.waitstatus_to_exitcode(status) == 0


def test_arrays_of_another_fit_are_refused(tmp_path):
    predictor, arrays = measured_predictor()
    (tmp_path / "predictor.json").write_bytes(predictor)
    (tmp_path / "residual.npz").write_bytes(arrays + b"\0")

    with pytest.raises(FileError, match="belongs to another fit"):
        read_predictor(tmp_path / "predictor.json")


# Escapes, HTML, formulas: text from files stays text.


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_escape_of_a_file_reaches_the_terminal(escape, invoke):
    shutil.copytree(ROOT / "latency_lut" / "iphone12", "latency_lut/iphone12")
    shutil.copytree(ROOT / "predictors" / "iphone12", "predictors/iphone12")
    path = Path("latency_lut/iphone12/device.json")
    document = json.loads(path.read_text()) | {"title": f"phone{escape}"}
    path.write_text(json.dumps(document))

    for arguments in (("devices",), ("devices", "--json")):
        code, out, err = invoke(*arguments)
        assert code == 0
        assert "phone" in out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", out + err)


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_escape_reaches_an_error(escape, invoke):
    Path("a.json").write_text(json.dumps({"schema": 1, f"x{escape}": 1}))

    _, out, err = invoke("predict", "a.json")

    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out + err)


def test_text_of_a_file_is_no_markup():
    assert markdown("<script>alert(1)</script>|`x`") == (
        "&lt;script&gt;alert(1)&lt;/script&gt;\\|\\`x\\`"
    )
    assert plain("two\nlines\x1b[2J") == "two\nlines\\x1b[2J"


def test_the_page_of_a_training_holds_no_tag_of_a_name(tmp_path):
    from repvit_nas.training.publish import write_card

    record = read_training(TRAINED)
    hostile = msgspec.structs.replace(record.asked.architecture, name="<img src=x onerror=y>")
    asked = msgspec.structs.replace(record.asked, architecture=hostile)
    write_card(tmp_path, msgspec.structs.replace(record, asked=asked, command="a\n<script>"))

    page = (tmp_path / "README.md").read_text()
    assert "<img" not in page
    assert "\n<script>" not in page


# A name that begins with a tab or the like is none: `Architecture` takes printable text alone.
FORMULAS = ("=cmd()", "+1", "-1", "@SUM(A1)", "＝1")


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_name_is_a_formula_in_the_table_of_a_front(formula):
    """Everything that is text in `front.csv`, as `Search.write` and `search` write it."""
    result = files.read_json(SHIPPED_RUN / "front.json", Result)
    entry = result.front[0]
    hostile = msgspec.structs.replace(
        entry,
        architecture=msgspec.structs.replace(entry.architecture, name=formula),
        devices={formula: next(iter(entry.devices.values()))},
    )

    table = files.encode_csv(
        front_columns(msgspec.structs.replace(result, front=(hostile,), winners=()))
    ).decode()

    cells = [cell for line in csv.reader(io.StringIO(table)) for cell in line]
    assert f"'{formula}" in cells
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r＝" and not _is_number(cell)]


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_the_log_of_a_training_is_numbers_alone():
    row = EpochRow(epoch=1, updates=2, lr=0.1, train_loss=1.0, loss=1.0, top1=50.0, top5=90.0)

    cells = [cell for line in log_csv([row]).decode().splitlines()[1:] for cell in line.split(",")]

    assert all(not cell or float(cell) >= 0 for cell in cells)


def test_tables_for_spreadsheets_are_made_at_one_door():
    """Whoever writes a CSV goes through `files.encode_csv`."""
    doors = {
        path.relative_to(ROOT / "repvit_nas").as_posix()
        for path in (ROOT / "repvit_nas").rglob("*.py")
        if re.search(r"csv\.writer|DictWriter|\.to_csv\(", path.read_text())
    }

    assert doors == {"files.py"}


def test_what_a_page_shows_is_put_in_as_text():
    """No script of the page writes HTML; the data stands in a block in which no tag can end."""
    script = (ROOT / "repvit_nas" / "report" / "assets" / "page.js").read_text()

    assert not re.search("innerHTML|outerHTML|insertAdjacentHTML|document.write|eval", script)


# Bombs and headers: sizes are looked at before anything is unpacked.


def test_an_archive_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    predictor, _ = measured_predictor()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("inputs.npy", b"\0" * (80 << 20))
    document = json.loads(predictor)
    document["measured"]["arrays_digest"] = files.digest(buffer.getvalue())
    (tmp_path / "predictor.json").write_text(json.dumps(document))
    (tmp_path / "residual.npz").write_bytes(buffer.getvalue())

    with pytest.raises(FileError, match="unpack to 83,886,080 bytes"):
        read_predictor(tmp_path / "predictor.json")


def test_a_header_of_weights_that_promises_too_much_is_refused(tmp_path):
    content = tensors()
    (tmp_path / "a.safetensors").write_bytes((2**62).to_bytes(8, "little") + content[8:])

    with pytest.raises(FileError, match="is no safetensors file"):
        read_tensors(tmp_path / "a.safetensors")


def test_an_array_of_objects_is_not_read(tmp_path):
    predictor, _ = measured_predictor()
    buffer = io.BytesIO()
    np.savez(buffer, inputs=np.array([print], dtype=object))
    document = json.loads(predictor)
    document["measured"]["arrays_digest"] = files.digest(buffer.getvalue())
    (tmp_path / "predictor.json").write_text(json.dumps(document))
    (tmp_path / "residual.npz").write_bytes(buffer.getvalue())

    with pytest.raises(FileError, match="holds no arrays"):
        read_predictor(tmp_path / "predictor.json")


class _Pickled:
    def __reduce__(self):
        return (os.mkdir, ("owned",))


def test_a_pickle_in_a_checkpoint_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(trainer_state())) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            hostile = entry.filename.endswith("data.pkl")
            content = pickle.dumps(_Pickled()) if hostile else old.read(entry)
            new.writestr(entry.filename, content)
    changed = {"checkpoints/update-00000002/trainer.pt": buffer.getvalue()}
    for name, content in checkpoint_files(**changed).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)

    with pytest.raises(RepvitNasError, match="is no state of a training run"):
        Checkpoints(tmp_path).load()

    assert not (tmp_path / "owned").exists()


# The parser of constraints evaluates nothing.


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').mkdir('owned') <= 1",
        "width[0].__class__ <= 1",
        "(lambda: 1)() <= 1",
        "9**9**9 <= 1",
        "width[10**10] <= 1",
        "(" * 5000 + "1" + ")" * 5000 + " <= 1",
        "open('x') <= 1",
        "width[0] <= 1; import os",
    ],
)
def test_a_constraint_is_no_program(text):
    document = json.loads((SHIPPED_RUN / "space.json").read_text()) | {"constraints": [text]}

    with pytest.raises(FileError):
        files.convert("space.json", document, SpaceFile)
