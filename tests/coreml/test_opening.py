"""From a device's name to a phone that runs programs: what goes wrong is said, what passes is waited for."""

import threading

import pytest
from cable import IPHONE, LOCKED, opened, said_in_time, timed
from fake_apple import PHONE, FakeApple, app_source

from repvit_nas.coreml.building import build
from repvit_nas.coreml.opening import open_phone
from repvit_nas.errors import RepvitNasError


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"locked": True}, "is locked: unlock it"),
        ({"install_error": LOCKED}, "is locked: unlock it"),
        ({"build_error": LOCKED}, "is locked: unlock it"),
        ({"build_error": "build.db: database is locked"}, "cannot be built: .*database is locked"),
        ({"nothing_builds": True}, "cannot be built:.*BUILD FAILED.*sign in"),
        ({"installs_fail": 9}, "provisioning profile has expired"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_why_an_app_does_not_start_is_said_in_time(tmp_path, faults, said):
    said_in_time(FakeApple(tmp_path / "apple", **faults), tmp_path, said)


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"tunnel": "disconnected"},
        {"system_after_tunnel": True, "tunnel": "disconnected"},
        {"copy_to_fail_on": [2, 5]},
        {"answer_after_polls": 2},
        {"truncated_answers": 2},
        {"installs_fail": 1},
        {"phones": ["iPhone14,5", "iPhone13,2"]},
    ],
)
def test_what_passes_by_itself_is_waited_for(tmp_path, faults):
    apple = FakeApple(tmp_path / "apple", noise=0.0, cold=0.0, **faults)
    if "installs_fail" in faults:  # a build from last week, whose signature has lapsed
        build(apple, PHONE, tmp_path / "device" / ".modelrunner", team="TEAM1",
              source=app_source(tmp_path / "source"))  # fmt: skip

    series = timed(apple, tmp_path)

    assert len(series) == 20
    assert len(set(series)) == 1
    assert all(process.stopped for process in apple.started)
    assert not (apple.home / "container").exists()  # nothing stays on the phone


def test_a_team_is_needed_and_passed_on(tmp_path):
    apple = FakeApple(tmp_path / "apple")
    with pytest.raises(
        RepvitNasError, match="give the identifier of a development team with --team"
    ):
        opened(apple, tmp_path, team="")

    opened(apple, tmp_path).stop()

    (words,) = apple.calls("xcodebuild", "-workspace")
    assert "DEVELOPMENT_TEAM=TEAM1" in words
    assert f"platform=iOS,id={PHONE.udid}" in words


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interruption_while_the_app_settles_leaves_nothing(tmp_path, stop):
    apple = FakeApple(tmp_path / "apple")

    def sleep(_):
        raise stop

    with pytest.raises(stop):
        open_phone(
            IPHONE, tmp_path / "device", team="T", apple=apple,
            source=app_source(tmp_path / "source"), sleep=sleep,
        )  # fmt: skip

    assert len(apple.started) == 1
    assert apple.started[0].stopped
    assert not (apple.home / "container").exists()


def test_an_app_that_does_not_start_is_taken_off_the_phone(tmp_path):
    apple = FakeApple(tmp_path / "apple", locked=True)

    with pytest.raises(RepvitNasError, match="is locked"):
        opened(apple, tmp_path)

    lines = [words[:4] for words in apple.calls("devicectl", "device")]
    assert lines.index(["devicectl", "device", "install", "app"]) < len(lines) - 1
    assert lines[-1] == ["devicectl", "device", "uninstall", "app"]


@pytest.mark.parametrize("fault", ["install_error", "build_error"])
def test_a_locked_phone_is_no_reason_to_build_otherwise(tmp_path, fault):
    """Neither without the loop, nor once more what was built before."""
    apple = FakeApple(tmp_path / "apple")
    if fault == "install_error":
        opened(apple, tmp_path).stop()
    apple.set(**{fault: LOCKED})
    said = []

    with pytest.raises(RepvitNasError, match="is locked"):
        opened(apple, tmp_path, say=said.append)

    assert len(apple.calls("xcodebuild", "-workspace")) == 1
    assert not [line for line in said if "app" in line]


def test_two_who_time_one_phone_take_turns_whatever_they_call_it(tmp_path):
    """Starting the app again would end the one that times."""
    (tmp_path / "other").mkdir()
    first = opened(FakeApple(tmp_path / "apple"), tmp_path)
    told, waits, second = [], threading.Event(), []

    def say(text):
        told.append(text)
        if "waiting" in text:
            waits.set()

    apple = FakeApple(tmp_path / "other" / "apple")
    thread = threading.Thread(
        target=lambda: second.append(opened(apple, tmp_path / "other", say=say))
    )
    thread.start()
    assert waits.wait(20)
    assert not apple.started
    first.stop()
    thread.join(20)

    assert "another repvit-nas takes times on that device; waiting for its end" in told
    assert len(apple.started) == 1
    second[0].stop()


def test_an_app_that_does_not_start_leaves_the_phone_s_clock_to_others(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(RepvitNasError):
        opened(FakeApple(tmp_path / "apple", locked=True), tmp_path)
    told = []

    opened(FakeApple(tmp_path / "other" / "apple"), tmp_path / "other", say=told.append).stop()

    assert not [text for text in told if "waiting" in text]
