import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repvit_nas.errors import FileError
from repvit_nas.lines import LineLog


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    numbers: tuple[float, ...] = ()
    inner: dict[str, object] = {}


class Title(msgspec.Struct, frozen=True, tag="title"):
    text: str


RECORDS = [Record(f"é{place}", (1.0, place)) for place in range(4)]
CONTENT = b"".join(msgspec.json.encode(record) + b"\n" for record in RECORDS)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return LineLog(tmp_path_factory.mktemp("log") / "log.jsonl", Record, "record")


def test_records_are_read_back_in_order(tmp_path):
    log = LineLog(tmp_path / "log.jsonl", Record, "record")
    for record in RECORDS:
        log.append(record)

    assert log.path.read_bytes() == CONTENT
    assert log.read() == RECORDS
    log.replace(RECORDS[2:])
    assert log.read() == RECORDS[2:]


def test_a_log_that_is_not_there_is_empty(tmp_path):
    log = LineLog(tmp_path / "log.jsonl", Record, "record")
    log.mend()

    assert log.read() == []
    assert not log.path.exists()


@given(st.integers(0, len(CONTENT)))
def test_of_any_truncation_the_whole_lines_are_left(log, length):
    log.path.write_bytes(CONTENT[:length])
    whole = CONTENT[:length].count(b"\n")

    assert log.read() == RECORDS[:whole]
    log.mend()
    log.append(RECORDS[0])
    assert log.read() == [*RECORDS[:whole], RECORDS[0]]


@given(st.integers(0, len(CONTENT)), st.integers(0, 30), st.binary(max_size=30))
def test_any_mutation_is_records_or_a_file_error_with_its_line(log, place, cut, put):
    log.path.write_bytes(CONTENT[:place] + put + CONTENT[place + cut :])

    try:
        found = log.read()
    except FileError as error:
        assert "log.jsonl: line " in str(error)
    else:
        assert all(isinstance(record, Record) for record in found)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"name": "\xff\xfe"}',
        b'{"\xff": 1, "name": "a"}',
        b'{"name": "a", "inner": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"name": "\\ud800"}',
        b'{"name": "a", "numbers": [1e999]}',
        b'{"name": "a"}\r{"name": "b"}',
        b'{"name": "a"}\0',
    ],
)
def test_a_line_that_is_no_record_is_named(log, line):
    log.path.write_bytes(CONTENT + line + b"\n" + CONTENT)

    with pytest.raises(
        FileError, match="log.jsonl: line 5 is no record: .*delete the line"
    ) as error:
        log.read()
    assert len(str(error.value)) < 500


def test_a_hostile_value_is_not_quoted_whole(tmp_path):
    log = LineLog(tmp_path / "log.jsonl", Title, "title", remedy="begin again")
    log.path.write_bytes(b'{"type": "' + b"x" * 10_000 + b'"}\n')

    with pytest.raises(FileError, match="begin again") as error:
        log.read()
    assert len(str(error.value)) < 500


def test_lines_of_two_kinds_are_told_apart(tmp_path):
    log = LineLog(tmp_path / "log.jsonl", Title | list[Record], "line")
    log.append(Title("log"))
    log.append(RECORDS[:2])
    log.append([])

    assert log.read() == [Title("log"), RECORDS[:2], []]


def test_a_folder_is_no_log(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        LineLog(tmp_path, Record, "record").read()


def test_a_full_disk_loses_nothing():
    """A limit of 200 bytes a file: the third line does not fit, the first two stay whole."""
    program = """
import resource, signal, sys
from pathlib import Path
from repvit_nas.errors import FileError
from repvit_nas.lines import LineLog
import tempfile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
log = LineLog(Path(tempfile.mkdtemp()) / "log.jsonl", dict, "record")
try:
    for position in range(9):
        log.append({"position": position, "filled": 60 * "x"})
except FileError as error:
    assert "cannot be written" in str(error) and "goes on from there" in str(error)
    print(len(log.read()), log.path.read_bytes().endswith(b"\\n"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["2", "True"]
