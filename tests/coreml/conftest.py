"""The stand-in for xcrun as a program: its processes and time-outs are real."""

import multiprocessing.util
import tempfile

import pytest
from fake_apple import BIN, FakeApple

from repvit_nas.coreml.xcrun import Xcrun


@pytest.fixture
def xcrun(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_APPLE_HOME", str(tmp_path / "apple"))
    FakeApple(tmp_path / "apple")
    return Xcrun(BIN / "xcrun")


@pytest.fixture(autouse=True)
def own_clock(tmp_path, monkeypatch):
    """The same phone stands in every test, and tests run side by side: each has its own clock."""
    # Asked for once in a process, then kept: in a test's own folder the names of sockets get too long.
    multiprocessing.util.get_temp_dir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
