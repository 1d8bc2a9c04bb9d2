import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.visits import VisitLog, VisitRecord, hold


def record(position=0, number=0, key="aa"):
    return VisitRecord(number, position, key, (2.0,), (1.0, 1.5), 0.25)


@pytest.fixture
def log(tmp_path):
    return VisitLog(tmp_path / "observations.jsonl")


def test_visits_are_read_back_in_order(log):
    for position in range(3):
        log.append(record(position))

    assert log.read() == [record(0), record(1), record(2)]
    assert VisitLog(log.path.with_name("none.jsonl")).read() == []


@pytest.mark.parametrize("kept", [1, 10, 40])
def test_a_torn_last_line_is_dropped_and_mended(log, kept):
    log.append(record(0))
    whole = log.path.stat().st_size
    log.append(record(1))
    os.truncate(log.path, whole + kept)

    assert log.read() == [record(0)]
    log.mend()
    log.append(record(1))

    assert log.read() == [record(0), record(1)]


def test_a_corrupt_line_in_the_middle_is_named(log):
    for position in range(3):
        log.append(record(position))
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(lines[0] + b'{"round": 0, "position"\n' + lines[2])

    with pytest.raises(FileError, match=r"observations\.jsonl: line 2 is no visit"):
        log.read()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"1.5", b"-1.5"),
        (b"1.5", b"0"),
        (b"1.5", b"NaN"),
        (b"1.5", b"1e999"),
        (b"[1.0,1.5]", b"[]"),
        (b'"series"', b'"times"'),
        (b'"key":"aa",', b""),
        (b'"round":0', b'"round":-1'),
        (b'"round":0', b'"round":1000000000'),
    ],
)
def test_what_is_no_latency_is_refused_with_its_line(log, old, new):
    log.append(record())
    log.path.write_bytes(log.path.read_bytes().replace(old, new))

    with pytest.raises(FileError, match="line 1"):
        log.read()


def test_a_visit_that_is_there_twice_is_named(log):
    log.append(record())
    log.append(record())

    with pytest.raises(FileError, match="line 2 repeats round 0, position 0"):
        log.read()


@given(st.binary(max_size=200), st.integers(0, 3))
def test_no_content_makes_a_traceback(tmp_path_factory, garbage, place):
    path = tmp_path_factory.mktemp("log") / "observations.jsonl"
    log = VisitLog(path)
    for position in range(3):
        log.append(record(position))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:place], garbage, *lines[place:]]))

    try:
        visits = log.read()
    except FileError as error:
        assert "line" in str(error)
    else:
        assert all(isinstance(visit, VisitRecord) for visit in visits)


def test_a_full_disk_loses_nothing():
    """A limit of 200 bytes a file: the third visit does not fit, the first two stay whole."""
    program = """
import resource, signal, sys
from pathlib import Path
from repvit_nas.errors import FileError
from repvit_nas.latency_lut.visits import VisitLog, VisitRecord
import tempfile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
log = VisitLog(Path(tempfile.mkdtemp()) / "observations.jsonl")
try:
    for position in range(9):
        log.append(VisitRecord(0, position, "aa", (2.0,), (1.0, 1.5), 0.25))
except FileError as error:
    assert "cannot be written" in str(error) and "goes on from there" in str(error)
    print(len(log.read()), log.path.read_bytes().endswith(b"\\n"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["2", "True"]


def test_the_second_run_is_told_who_holds_the_folder(tmp_path):
    program = f"""
from pathlib import Path
from repvit_nas.latency_lut.visits import hold
with hold(Path({str(tmp_path)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RepvitNasError, match=f"process {other.pid}"), hold(tmp_path):
            pass
        other.kill()
        other.wait()

    with hold(tmp_path):  # the lock of a killed run is nobody's
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(FileError, match="file/device"), hold(tmp_path / "file" / "device"):
        pass
