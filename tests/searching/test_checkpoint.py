"""The log of a study: whole batches of one search."""

import pytest

from repvit_nas.errors import FileError
from repvit_nas.searching.checkpoint import Checkpoint, TrialRecord


def test_a_log_of_another_format_is_refused(tmp_path):
    (tmp_path / "study").write_bytes(b'{"schema":7,"digest":"d"}\n')

    with pytest.raises(FileError, match="line 1 is no line of a study.*7"):
        Checkpoint(tmp_path / "study", "d").read()


def batch(*rows):
    return [TrialRecord(row, (0.5, -78.0), (0.0,), {"nsga2:generation": 1}) for row in rows]


def test_batches_come_back_as_they_were_appended(tmp_path):
    log = Checkpoint(tmp_path / "study", "d")
    log.start()
    assert log.read() == []
    batches = [batch((0, 1), (2, 3)), batch((4, 5))]
    for each in batches:
        log.append(each)

    assert Checkpoint(tmp_path / "study", "d").read() == batches
    log.keep(batches[1:])
    assert log.read() == batches[1:]


def test_a_log_belongs_to_one_search(tmp_path):
    Checkpoint(tmp_path / "study", "d").start()

    with pytest.raises(FileError, match="belongs to another search; .*--out, or replace it"):
        Checkpoint(tmp_path / "study", "e").read()


def test_what_was_cut_short_is_no_batch(tmp_path):
    log = Checkpoint(tmp_path / "study", "d")
    log.start()
    log.append(batch((0, 1)))
    with log.path.open("ab") as file:
        file.write(b'[{"choices":[1')

    assert log.read() == [batch((0, 1))]
    log.append(batch((2, 3)))  # on a line of its own
    assert log.read() == [batch((0, 1)), batch((2, 3))]


def test_a_second_header_is_refused(tmp_path):
    log = Checkpoint(tmp_path / "study", "d")
    log.start()
    log.path.write_bytes(2 * log.path.read_bytes())

    with pytest.raises(FileError, match="must have one header of a study"):
        log.read()
