import subprocess
import sys
import tempfile
import threading
import time

import pytest

from repvit_nas import files
from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.folders import LOCK_FILES, clock, held


def test_the_second_run_is_told_who_holds_the_folder(tmp_path):
    program = f"""
from pathlib import Path
from repvit_nas.folders import held
with held(Path({str(tmp_path)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(RepvitNasError, match=f"process {other.pid} is writing here"),
            held(tmp_path),
        ):
            pass
        other.kill()
        other.wait()

    with held(tmp_path):  # the lock of a killed run is nobody's
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(FileError, match="file/device"), held(tmp_path / "file" / "device"):
        pass


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(FileError, match="is a file; give another"),
        held(tmp_path / "file", otherwise="give another"),
    ):
        pass


def test_nothing_is_left_of_a_folder_that_stayed_empty(tmp_path):
    with held(tmp_path / "one" / "two"):
        assert {path.name for path in (tmp_path / "one" / "two").iterdir()} == set(LOCK_FILES)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays_with_what_was_written(tmp_path):
    with held(tmp_path):
        (tmp_path / "figure").write_text("")
    with held(tmp_path / "empty"):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["figure"]


def test_a_holder_s_word_is_not_believed_whatever_it_says(tmp_path):
    with held(tmp_path):
        (tmp_path / LOCK_FILES[1]).write_bytes(b"\x1b[31m")
        with pytest.raises(RepvitNasError, match="another run is writing here"), held(tmp_path):
            pass


def test_a_folder_is_waited_for_where_that_is_asked(tmp_path):
    held_by_another, seen = threading.Event(), []

    def another():
        with held(tmp_path / "run", wait_s=30):
            held_by_another.set()
            time.sleep(0.3)
            seen.append("another")

    thread = threading.Thread(target=another)
    thread.start()
    held_by_another.wait()
    with held(tmp_path / "run", wait_s=30):
        seen.append("this")
    thread.join()

    assert seen == ["another", "this"]


TIMES = """
import sys
from repvit_nas.folders import clock
with clock(phone=sys.argv[1]):
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """Another process that takes times, on this machine or a phone, until it is told to end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    begun = []

    def take(phone=""):
        words = [sys.executable, "-c", TIMES, phone]
        begun.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert begun[-1].stdout.readline() == "taken\n"
        return begun[-1]

    yield take
    for process in begun:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize(("phone", "where"), [("", "this machine"), ("0008-X", "that device")])
def test_who_takes_times_waits_for_another_who_does(taken, phone, where):
    other, told = taken(phone), []
    threading.Timer(0.3, other.stdin.close).start()

    with clock(told.append, phone=phone):
        other.wait(20)

    assert told == [f"another repvit-nas takes times on {where}; waiting for its end"]


def test_a_phone_has_a_clock_of_its_own(taken):
    taken()
    taken("0008-X")
    told = []

    with clock(told.append, phone="0008-Y"):
        pass

    assert told == []


def test_the_clock_of_a_killed_process_is_nobody_s(taken):
    other, told = taken(), []
    other.kill()
    other.wait()

    with clock(told.append):
        pass

    assert told == []


def test_whoever_waits_for_a_folder_has_it_though_it_was_removed_meanwhile(tmp_path):
    folder, inside = tmp_path / "one" / "two", []

    def wait():
        with held(folder, wait_s=20):
            inside.append(folder.is_dir())

    with held(folder):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.3)
    waiting.join()

    assert inside == [True]


def test_files_that_belong_together_are_read_together_while_they_are_replaced(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    files.write_together({one: b"0", two: b"0"})
    done = threading.Event()

    def replace():
        with held(tmp_path):
            number = 0
            while not done.is_set():
                number += 1
                one.write_bytes(b"%d" % number)
                time.sleep(0.001)
                two.write_bytes(b"%d" % number)
                done.wait(0.05)

    def read():
        found = one.read_bytes(), two.read_bytes()
        if len(set(found)) != 1:
            torn.append(found)
            raise FileError(f"{found} are of two writers")
        return found

    torn = []
    writer = threading.Thread(target=replace)
    writer.start()
    try:
        while len(torn) < 3:
            files.settled(tmp_path, read)
    finally:
        done.set()
        writer.join()


def test_files_that_nobody_writes_are_refused_at_once(tmp_path):
    tries = []

    def read():
        tries.append(1)
        raise FileError("damaged")

    with pytest.raises(FileError, match="damaged"):
        files.settled(tmp_path, read)

    assert len(tries) == 1
