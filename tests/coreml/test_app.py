"""Apple's app on a phone, and what only a Mac with a phone can show."""

import json
import os
import shutil
import sys
import time

import pytest
from cable import SHORT, UNIT, opened, runner, running
from fake_apple import PHONE, FakeApple, app_source

from repvit_nas.coreml.app import Phone
from repvit_nas.coreml.building import build
from repvit_nas.coreml.discovery import find_device
from repvit_nas.coreml.doctor import examine
from repvit_nas.coreml.opening import open_phone
from repvit_nas.coreml.products import products
from repvit_nas.coreml.runner import CoreMlRunner
from repvit_nas.coreml.xcrun import find_xcrun
from repvit_nas.errors import RepvitNasError
from repvit_nas.programs import chain
from repvit_nas.units import Block

_NEEDED = sys.platform == "darwin" and shutil.which("xcrun") and os.environ.get("REPVIT_NAS_TEAM")
_no_mac = pytest.mark.skipif(not _NEEDED, reason="needs a Mac with Xcode and REPVIT_NAS_TEAM")


def phone_on_the_cable():
    """Return the first device of the table that is connected."""
    apple = find_xcrun()
    for known in products().values():
        try:
            return apple, known, find_device(apple, known)
        except RepvitNasError:
            continue
    pytest.skip("no Core ML device is connected")
    return None


@pytest.mark.mac
@_no_mac
@pytest.mark.parametrize("loop", [True, False])
def test_the_app_builds(tmp_path, loop):
    apple, _, device = phone_on_the_cable()

    built = build(apple, device, tmp_path, team=os.environ["REPVIT_NAS_TEAM"], loop=loop)

    assert built.loop == loop
    assert built.path.is_dir()


@pytest.mark.mac
@_no_mac
def test_a_chain_is_timed_on_the_phone(tmp_path):
    _, known, _ = phone_on_the_cable()
    team = os.environ["REPVIT_NAS_TEAM"]
    assert all(item.fine is not False for item in examine(known, team=team))
    phone = open_phone(known, tmp_path, team=team)
    try:
        runner = CoreMlRunner(phone, tmp_path, placements=tmp_path / "placements.jsonl")
        with runner.load(chain(Block(48, 96, 16, 3, 56), 6)) as calls:
            series = calls(20)
    finally:
        phone.stop()

    assert all(0 < value < 1000 for value in series)


def test_models_are_unloaded_and_the_phone_is_cleaned_now_and_then(tmp_path):
    apple = FakeApple(tmp_path / "apple")
    built = build(apple, PHONE, tmp_path / "b", team="T", source=app_source(tmp_path / "source"))
    phone = Phone(apple, PHONE, built, waits=SHORT, sleep=lambda _: None, fresh_after=3)
    phone.start()
    made = runner(phone, tmp_path)

    for _ in range(5):
        with made.load(chain(UNIT, 2)) as calls:
            calls(3)

    assert fake_models(apple) == {}
    assert len(apple.started) == 2
    assert len(apple.calls("devicectl", "device", "install", "app")) == 2
    phone.stop()


def fake_models(apple):
    return json.loads((apple.home / "models.json").read_text())


def test_the_app_s_process_ends_with_the_session(xcrun, tmp_path):
    phone = opened(xcrun, tmp_path)
    phone.start()
    with runner(phone, tmp_path).load(chain(UNIT, 2)) as calls:
        assert len(calls(20)) == 20
    pid_file = tmp_path / "apple" / "app.pid"
    deadline = time.monotonic() + 20
    while not pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(pid_file.read_text())
    assert running(pid)

    phone.stop()

    assert not running(pid)
