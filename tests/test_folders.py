import subprocess
import sys
import threading
import time

import pytest

from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.folders import LOCK_FILES, held


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
