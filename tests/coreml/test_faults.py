"""Every fault ends in its own message that says what to do, in time, with nothing left behind."""

import os
import time
from pathlib import Path

import pytest
from fake_apple import BIN, PHONE, FakeApple, app_source, simulated_packages

from repvit_nas.coreml.app import Phone, build
from repvit_nas.coreml.client import Waits
from repvit_nas.coreml.discovery import find_device
from repvit_nas.coreml.opening import open_phone
from repvit_nas.coreml.products import product
from repvit_nas.coreml.runner import CoreMlRunner
from repvit_nas.coreml.xcrun import Xcrun, XcrunError, devicectl
from repvit_nas.errors import RepvitNasError
from repvit_nas.programs import chain
from repvit_nas.units import Ffn

UNIT = Ffn(32, 64, 14)
SHORT = Waits(answer=0.3, load=0.3, poll=0.01, copy=5)
IPHONE = product("iphone12")


# What Apple's tools say of a locked phone before they install on it: the reason comes early.
LOCKED = (
    "The developer disk image could not be mounted on this device. (CoreDeviceError error 12040)\n"
    "  The operation failed since the device is locked. (kAMDMobileImageMounterDeviceLocked)\n"
    "    Options = {\n" + "        MountedBundlePath = /private/var/tmp/CoreDevice;\n" * 12 + "}"
)


def opened(apple, tmp_path, **options):
    return open_phone(
        IPHONE,
        tmp_path / "device",
        team=options.pop("team", "TEAM1"),
        apple=apple,
        source=app_source(tmp_path / "source"),
        waits=SHORT,
        sleep=lambda _: None,
        **options,
    )


def runner(phone, tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir(exist_ok=True)
    return CoreMlRunner(
        phone, packages, placements=tmp_path / "placements.jsonl",
        writer=simulated_packages, shape=lambda unit: (unit.width, unit.size, unit.size),
    )  # fmt: skip


def timed(apple, tmp_path):
    phone = opened(apple, tmp_path)
    try:
        with runner(phone, tmp_path).load(chain(UNIT, 2)) as calls:
            return calls(20)
    finally:
        phone.stop()


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"simulators_only": True}, "only simulators are listed.*plug it in by cable"),
        ({"phones": []}, "no iPhone 12 is connected; plug it in"),
        ({"phones": ["iPhone14,5"]}, r"connected: iPhone 13 .*--device iphone13"),
        ({"phones": ["iPhone99,9"]}, "connected: iPhone99,9"),
        ({"phones": ["iPhone13,2"] * 2}, "2 devices are iPhone 12: say which with --udid 00008101"),
        ({"unpaired": True}, "does not trust this Mac: unlock it and tap Trust"),
        ({"developer_mode": "disabled"}, "Developer Mode is off.*Settings, Privacy & Security"),
        ({"system": "16.5.1"}, "runs 16.5.1: 17.4 or newer is needed"),
        ({"tunnel": "disconnected", "tunnel_wakes": False}, "connection to it does not open"),
        (
            {"system_after_tunnel": True, "tunnel": "disconnected", "tunnel_wakes": False},
            "is paired, but it is not on the cable: plug it in",
        ),
        ({"locked": True}, "is locked: unlock it"),
        ({"install_error": LOCKED}, "is locked: unlock it"),
        ({"build_error": LOCKED}, "is locked: unlock it"),
        ({"build_error": "build.db: database is locked"}, "cannot be built: .*database is locked"),
        ({"nothing_builds": True}, "cannot be built:.*BUILD FAILED.*sign in"),
        ({"installs_fail": 9}, "provisioning profile has expired"),
        ({"copy_to_fail_on": [-1]}, "copying to the device failed 3 times.*is the cable in"),
        ({"answer_never": True}, "no answer to Load within 0.3 s"),
        ({"truncated_answers": 10**6}, "only a torn answer to Load within 0.3 s"),
        ({"dies_after_messages": 5}, "runner app on the device ended.*starts it again and goes on"),
        (
            {"load_error": "Failed to build the model execution plan"},
            "refused Load: Failed to build",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_fault_is_said_in_time(tmp_path, faults, said):
    apple = FakeApple(tmp_path / "apple", **faults)
    start = time.monotonic()

    with pytest.raises(RepvitNasError, match=said) as error:
        timed(apple, tmp_path)

    assert time.monotonic() - start < 20
    assert "\n" not in str(error.value)
    assert all(process.stopped for process in apple.started)


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


def test_one_of_two_phones_is_chosen(tmp_path):
    apple = FakeApple(tmp_path / "apple", phones=["iPhone13,2"] * 2)

    found = find_device(apple, IPHONE, udid="00008101-000A3C210CE00001")

    assert found.udid.endswith("0001")


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


def test_the_app_is_built_once_for_one_source_team_and_xcode(tmp_path):
    apple = FakeApple(tmp_path / "apple")
    for _ in range(2):
        opened(apple, tmp_path).stop()
    assert len(apple.calls("xcodebuild", "-workspace")) == 1

    apple.set(xcode="27.0")
    opened(apple, tmp_path).stop()

    assert len(apple.calls("xcodebuild", "-workspace")) == 2


def test_a_loop_that_does_not_build_falls_back_to_the_stock_app(tmp_path):
    said = []
    apple = FakeApple(tmp_path / "apple", loop_does_not_build=True)

    phone = opened(apple, tmp_path, say=said.append)

    assert not phone.built.loop
    assert any("warm loop does not build" in line for line in said)
    made = runner(phone, tmp_path)
    assert made.circumstances()["loop"] == "cold"
    assert made.series().endswith("_cold")
    with made.load(chain(UNIT, 2)) as calls:
        assert len(calls(60)) == 4  # one message a call: no visit gets more


@pytest.mark.parametrize(("loop", "seconds"), [(True, 1 + 2 + 4), (False, 1 + 6 * 2 + 4)])
def test_a_visit_of_the_stock_app_is_counted_with_all_its_messages(
    tmp_path, monkeypatch, loop, seconds
):
    """Two calls until it is steady, and four that are timed."""
    now = [0.0]

    class Took:
        """A place where loading takes 1 s, a prediction 2 s and unloading 4 s."""

        def compiled(self, package):
            return package

        def load(self, _):
            now[0] += 1
            return self

        def predict(self, *_, **__):
            now[0] += 2
            return [1.0], loop

        def unload(self):
            now[0] += 4

    monkeypatch.setattr("repvit_nas.coreml.runner.perf_counter", lambda: now[0])

    assert runner(Took(), tmp_path).probe == (loop, seconds)


def test_a_source_that_is_not_known_falls_back_too(tmp_path):
    said = []
    source = app_source(tmp_path / "other", "import CoreML\n")
    apple = FakeApple(tmp_path / "apple")

    built = build(apple, PHONE, tmp_path / "builds", team="T", source=source, say=said.append)

    assert not built.loop
    assert "not the one the warm loop was written for" in said[0]


def test_warm_and_cold_calls_are_never_mixed(tmp_path):
    apple = FakeApple(tmp_path / "apple")
    phone = opened(apple, tmp_path)
    made = runner(phone, tmp_path)
    (apple.home / "app.json").write_text('{"loop": false}')

    with (
        pytest.raises(RepvitNasError, match="never mixed"),
        made.load(chain(UNIT, 2)) as calls,
    ):
        calls(1)


def test_models_are_unloaded_and_the_phone_is_cleaned_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr("repvit_nas.coreml.app.FRESH_AFTER", 3)
    apple = FakeApple(tmp_path / "apple")
    phone = opened(apple, tmp_path)
    made = runner(phone, tmp_path)

    for _ in range(5):
        with made.load(chain(UNIT, 2)) as calls:
            calls(3)

    assert fake_models(apple) == {}
    assert len(apple.started) == 2
    assert len(apple.calls("devicectl", "device", "install", "app")) == 2
    phone.stop()


def fake_models(apple):
    import json

    return json.loads((apple.home / "models.json").read_text())


# -- the same stand-in as a program on the path: processes and time-outs are real


@pytest.fixture
def xcrun(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_APPLE_HOME", str(tmp_path / "apple"))
    FakeApple(tmp_path / "apple")
    return Xcrun(BIN / "xcrun")


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_command_that_hangs_is_stopped(xcrun, tmp_path):
    FakeApple(tmp_path / "apple", hangs="list")
    start = time.monotonic()

    with pytest.raises(XcrunError, match="did not end within 0.5 s and was stopped"):
        devicectl(xcrun, ["list", "devices"], 0.5)

    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("no program\n", 0o755, "Exec format error"),
        ("#!/no/such/interpreter\n", 0o755, "No such file"),
    ],
)
@pytest.mark.parametrize(
    "call", [lambda xcrun: xcrun.run(["x"], 5), lambda xcrun: xcrun.start(["x"])]
)
def test_an_xcrun_that_cannot_be_run_is_said(tmp_path, call, text, mode, why):
    path = tmp_path / "xcrun"
    path.write_text(text)
    path.chmod(mode)

    with pytest.raises(XcrunError, match=f"{path}: cannot be run: {why}.*/usr/bin/xcrun") as error:
        call(Xcrun(path))

    assert "\n" not in str(error.value)


def script(folder, text):
    path = folder / "xcrun"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return Xcrun(path)


def gone(pid_file, within=5):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        text = pid_file.read_text() if pid_file.exists() else ""
        if text.strip() and not alive(int(text)):
            return True
        time.sleep(0.02)
    return False


def alive(pid):
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    if not running(pid):
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_tool_ends_when_it_ends_and_not_when_its_helper_does(tmp_path):
    """As xcodebuild's build service, which holds what the tool prints to."""
    apple = script(
        tmp_path, f"sleep 60 & echo $! > {tmp_path}/pid; echo said; echo bad >&2; exit 0"
    )
    start = time.monotonic()

    done = apple.run(["xcodebuild"], 20)

    assert done == (0, "said\n", "bad\n")
    assert time.monotonic() - start < 10
    assert gone(tmp_path / "pid")


def test_a_helper_that_does_not_want_to_end_is_ended(tmp_path):
    """The tool itself ends when it is asked to."""
    apple = script(
        tmp_path,
        f"(trap '' TERM; echo $(exec sh -c 'echo $PPID') > {tmp_path}/pid; "
        "while :; do sleep 1; done) &\n"
        "wait",
    )
    process = apple.start(["devicectl"])
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    process.stop()

    assert gone(tmp_path / "pid")


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


def test_no_serial_number_or_name_is_kept(tmp_path):
    apple = FakeApple(tmp_path / "apple")
    phone = opened(apple, tmp_path)

    kept = f"{phone.device} {runner(phone, tmp_path).circumstances()}"

    assert "SECRET" not in kept
    assert "Ada" not in kept
    assert isinstance(phone, Phone)
