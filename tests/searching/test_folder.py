"""What lies outside a run's folder is neither deleted, nor written, nor read."""

import pytest
from support import write_narrow

from repvit_nas.errors import RepvitNasError
from repvit_nas.report.run_report import render
from repvit_nas.searching.inputs import load_inputs
from repvit_nas.searching.run import search
from repvit_nas.searching.settings import Settings


def run(folder, *, overwrite=False):
    space = write_narrow(folder.parent)
    settings = Settings(budgets_ms={"iphone12": 1.0}, space=space, trials=50)
    search(settings, load_inputs(settings), folder, render, overwrite=overwrite)


@pytest.mark.parametrize(
    "name", [".new", "winners", "study.journal", "run.json", "README.md", ".new/run", ".lock"]
)
def test_a_link_in_a_runs_folder_is_refused_and_nothing_behind_it_changes(tmp_path, name):
    outside, folder = tmp_path / "outside", tmp_path / "run"
    (outside / "run").mkdir(parents=True)
    for precious in (outside / "mine.json", outside / "run" / "mine.json"):
        precious.write_text("mine")
    run(folder)
    if "." in name.strip(".") or name == ".lock":
        target = outside / "mine.json"
        (folder / name).unlink(missing_ok=True)
    else:
        target = outside
        if (folder / name).is_dir():
            (folder / name).rename(tmp_path / "aside")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(target)

    with pytest.raises(RepvitNasError, match="is a link"):
        run(folder, overwrite=True)

    for precious in (outside / "mine.json", outside / "run" / "mine.json"):
        assert precious.read_text() == "mine"
    assert sorted(path.name for path in outside.iterdir()) == ["mine.json", "run"]


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "large disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "large disk")

    run(tmp_path / "run")

    assert (tmp_path / "large disk" / "run.json").is_file()
