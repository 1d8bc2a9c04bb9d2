import os

import pytest

from repvit_nas.errors import FileError, RepvitNasError
from repvit_nas.latency_lut.visits import Visit, VisitLog, by_round, hold


def record(position=0, number=0, key="aa"):
    return Visit(number, position, key, (2.0,), (1.0, 1.5), 0.25)


@pytest.fixture
def log(tmp_path):
    return VisitLog(tmp_path)


def test_visits_are_read_back_in_order(log):
    for position in range(3):
        log.append(record(position))

    assert log.read() == [record(0), record(1), record(2)]
    assert VisitLog(log.path / "none").read() == []


@pytest.mark.parametrize("kept", [1, 10, 40])
def test_a_torn_last_line_is_dropped_and_mended(log, kept):
    log.append(record(0))
    whole = log.path.stat().st_size
    log.append(record(1))
    os.truncate(log.path, whole + kept)

    assert log.read() == [record(0)]
    assert log.open() == [record(0)]
    log.append(record(1))

    assert log.read() == [record(0), record(1)]


def test_a_corrupt_line_in_the_middle_is_named(log):
    for position in range(3):
        log.append(record(position))
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(lines[0] + b'{"round": 0, "position"\n' + lines[2])

    with pytest.raises(FileError, match=r"visits\.jsonl: line 2 is no visit"):
        log.read()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"1.5", b"-1.5"),
        (b"1.5", b"0"),
        (b"1.5", b"NaN"),
        (b"1.5", b"1e999"),
        (b"[1.0,1.5]", b"[]"),
        (b'"samples"', b'"times"'),
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


FORMER = (
    b'{"round":0,"position":0,"key":"aa","warm":[2.0],"series":[1.0,1.5],"seconds":0.25}\n'
    b'{"round":0,"position":1,"key":"aa","warm":[2.0],"series":[1.0,1.5],"seconds":0.25}\n'
    b'{"round":0,"posi'
)


def test_a_log_of_the_former_name_is_read_and_gone_on_with(tmp_path):
    former = tmp_path / "observations.jsonl"
    former.write_bytes(FORMER)
    log = VisitLog(tmp_path)

    assert log.path == former
    assert log.read() == [record(0), record(1)]
    assert former.read_bytes() == FORMER  # reading changes nothing

    assert log.open() == [record(0), record(1)]
    log.append(record(2))

    assert [path.name for path in tmp_path.iterdir()] == ["visits.jsonl"]
    assert VisitLog(tmp_path).read() == [record(0), record(1), record(2)]


def test_a_damaged_log_of_the_former_name_is_named_and_stays(tmp_path):
    content = FORMER.replace(b"1.5", b"-1.5")
    (tmp_path / "observations.jsonl").write_bytes(content)

    with pytest.raises(FileError, match=r"observations\.jsonl: line 1 is no visit"):
        VisitLog(tmp_path).open()

    assert (tmp_path / "observations.jsonl").read_bytes() == content


def test_the_second_run_is_told_to_name_another_device(tmp_path):
    with (
        hold(tmp_path),
        pytest.raises(RepvitNasError, match=f"process {os.getpid()} .*another --device name"),
        hold(tmp_path),
    ):
        pass


def test_the_sentinel_counts_as_others_do_too_where_it_is_one_of_them():
    visits = [
        record(position, number, key) for number in (0, 1) for position, key in enumerate("absx")
    ]
    visits.append(record(4, 1, "s"))

    found = by_round(visits, {"a", "s"}, "s")

    samples = record().samples
    assert found.programs == {key: {0: samples, 1: samples} for key in "as"}
    assert found.sentinel == {0: [samples], 1: [samples, samples]}
