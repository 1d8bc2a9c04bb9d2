"""The command line in a folder without data."""

import pytest
import torch

from repvit_nas.architecture import Architecture, Stage, write_architecture


@pytest.fixture
def outside(elsewhere):
    stages = tuple(Stage(width=w, depth=1, se="0") for w in (8, 16, 24, 32))
    write_architecture(elsewhere / "outside.json", Architecture(stages=stages))
    (elsewhere / "broken.json").write_text('{"schema": 1, "stages": [')
    (elsewhere / "old.json").write_text('{"schema": 0}')
    (elsewhere / "space.toml").write_text("schema = 1\nname = 'x'\n")
    return elsewhere


SMALL = """{"schema":1,"name":"small","stages": [
 {"width":16,"depth":1,"se":"1"},{"width":24,"depth":1,"se":"1"},
 {"width":32,"depth":2,"se":"10"},{"width":48,"depth":1,"se":"1"}]}"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.json").write_text(SMALL)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)
