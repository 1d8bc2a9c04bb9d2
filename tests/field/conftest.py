"""Somebody else's folder, into which links lead."""

import pytest


@pytest.fixture
def outside(tmp_path_factory):
    """A folder of somebody's, and a check that nothing became of it."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "kept.json").write_text("theirs")
    (folder / "run").mkdir()
    yield folder
    assert sorted(path.name for path in folder.iterdir()) == ["kept.json", "run"]
    assert (folder / "kept.json").read_text() == "theirs"
    assert not list((folder / "run").iterdir())
