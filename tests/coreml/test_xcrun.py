"""Apple's tools as processes: what hangs is stopped, and nothing is left behind."""

import time
from pathlib import Path

import pytest
from cable import running
from fake_apple import FakeApple

from repvit_nas.coreml.xcrun import Xcrun, XcrunError, devicectl


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
