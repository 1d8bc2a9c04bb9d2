import csv
import io
import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repvit_nas import files
from repvit_nas.errors import FileError


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    values: list[int]


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new folder" / "a.json"
    record = Record(1, [1, 2, 3])

    files.write_json(path, record)

    assert files.read_json(path, Record) == record
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(path.parent) == ["a.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    """A limit on the file size stands in for a full disk: the kernel refuses the same way."""
    import resource
    import signal

    path, beside = tmp_path / "a.bin", tmp_path / "b.bin"
    path.write_bytes(b"before")
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old_limit[1]))
    try:
        with pytest.raises(FileError, match=r"a\.bin: cannot be written: File too large"):
            files.write_bytes(path, b"x" * 5000)
        with pytest.raises(FileError, match=r"b\.bin: cannot be written: File too large"):
            files.write_together({path: b"after", beside: b"x" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)

    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(FileError, match="cannot be written"):
        files.write_bytes(tmp_path / "file" / "a.json", b"x")


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_what_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(FileError, match="cannot be read"):
        files.read_json(tmp_path / name, Record)


def test_a_file_far_too_large_is_not_read(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)

    with pytest.raises(FileError, match="larger than"):
        files.read_bytes(path)


def test_a_device_without_an_end_is_not_read(monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 1000)

    with pytest.raises(FileError, match="/dev/zero: larger than 1,000 bytes"):
        files.read_bytes(Path("/dev/zero"))


def test_lines_are_json_with_one_item_a_line(tmp_path):
    path = tmp_path / "a.json"
    files.write_bytes(path, files.encode_lines(Record(1, [7, 8, 9]), "values"))

    assert files.read_json(path, Record) == Record(1, [7, 8, 9])
    assert {b"7,", b"8,", b"9"} <= set(path.read_bytes().splitlines())


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    ms: float
    note: str = ""


def test_a_table_is_read_into_typed_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('name,ms,note\na,1.5,\n"b,c",2,x\n')

    assert files.read_csv(path, Row) == [Row("a", 1.5), Row("b,c", 2.0, "x")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,ms\na,fast\n", ["line 2", "ms", "fast"]),
        ("name,ms\na,1\nb,\n", ["line 3", "ms"]),
        ("name,ms,colour\na,1,red\n", ["line 2", "colour"]),
        ("name,ms\na,1,2,3\n", ["line 2"]),
    ],
)
def test_a_bad_cell_is_named_with_its_line(tmp_path, text, words):
    path = tmp_path / "a.csv"
    path.write_text(text)

    with pytest.raises(FileError) as error:
        files.read_csv(path, Row)

    for word in ["a.csv", *words]:
        assert word in str(error.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(content)

    try:
        files.read_csv(path, Row)
    except FileError as error:
        assert "\n" not in str(error)


def test_digests_tell_contents_apart():
    assert files.digest(b"ab", b"c") != files.digest(b"a", b"bc")
    assert files.digest(b"a") == files.digest(b"a")


def test_a_spreadsheet_runs_nothing_that_a_user_named(tmp_path):
    names = ["=1+1", "+x", "-x", "@x", "\tx", "＝x", "plain", "a,b"]
    content = files.encode_csv({"=network": names, "ms": [-1.5] * len(names)})

    rows = list(csv.reader(io.StringIO(content.decode())))
    assert rows[0] == ["'=network", "ms"]
    assert [row[0] for row in rows[1:]] == [f"'{name}" for name in names[:6]] + names[6:]
    assert {row[1] for row in rows[1:]} == {"-1.5"}  # a number stays one


def test_a_long_value_is_cut_short():
    assert files.shown("x" * 58) == repr("x" * 58)
    assert files.shown("x" * 59) == "'" + "x" * 58 + "…"
