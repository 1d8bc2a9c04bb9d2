"""The stand-in for xcrun as a program: its processes and time-outs are real."""

import pytest
from fake_apple import BIN, FakeApple

from repvit_nas.coreml.xcrun import Xcrun


@pytest.fixture
def xcrun(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_APPLE_HOME", str(tmp_path / "apple"))
    FakeApple(tmp_path / "apple")
    return Xcrun(BIN / "xcrun")
