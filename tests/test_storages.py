import gc
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from databases import free_port
from optuna.study import StudyDirection
from sqlalchemy.exc import DatabaseError

from repvit_nas.errors import RepvitNasError
from repvit_nas.storages import _LOST_A_RACE, ask, close_storage, masked, open_storage, patiently


def test_an_outage_is_waited_for_and_said_once():
    failing, said = [ConnectionRefusedError("nobody there\nmore"), TimeoutError(), None], []

    def call():
        error = failing.pop(0)
        if error:
            raise error
        return "here"

    assert patiently(call, "the storage", wait_s=60, say=said.append) == "here"
    assert said == [
        "the storage does not answer (nobody there); waiting for up to 60 s",
        "the storage answers again",
    ]


def test_what_no_waiting_mends_is_not_waited_for():
    def call():
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        patiently(call, "the storage", wait_s=60, say=pytest.fail)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "grpc"])
def test_an_unreachable_storage_is_one_line_after_the_wait(scheme):
    pytest.importorskip({"postgresql": "psycopg", "mysql": "pymysql", "grpc": "grpc"}[scheme])
    path = "" if scheme == "grpc" else "/db"
    url, said = f"{scheme}://me:geheim@127.0.0.1:{free_port()}{path}", []

    began = time.monotonic()
    with pytest.raises(RepvitNasError, match="cannot be opened") as error:
        open_storage(url, wait_s=0.3, say=said.append)

    assert time.monotonic() - began < 20
    assert "\n" not in str(error.value)
    assert len(said) == 1
    assert "waiting for up to 0.3 s" in said[0]
    for line in (*said, str(error.value)):
        assert "geheim" not in line


SERVERS = ["postgresql", "mysql"]


# Optuna leaves the connection of a try that lost to the garbage collector, whose warning drivers give.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("database_server", SERVERS, indirect=True)
def test_workers_who_open_an_empty_database_at_once_all_find_it_open(database_server):
    workers = 5
    with ThreadPoolExecutor(workers) as pool:
        for time_of in range(2):
            url = database_server.database(f"empty{time_of}")
            start = Barrier(workers)

            def work(url=url, start=start):
                start.wait()
                storage = open_storage(url, say=pytest.fail)
                studies = storage.get_all_studies()
                close_storage(storage)
                return studies

            assert [each.result() for each in [pool.submit(work) for _ in range(workers)]] == [
                [] for _ in range(workers)
            ]
    gc.collect()


@pytest.mark.parametrize("database_server", SERVERS, indirect=True)
@pytest.mark.parametrize(
    "statement", ["CREATE TABLE made (id INTEGER PRIMARY KEY)", "INSERT INTO made VALUES (1)"]
)
def test_what_a_database_says_to_who_lost_a_race_is_known(database_server, statement):
    storage = open_storage(database_server.database(f"raced{time.monotonic_ns()}"))
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE made (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO made VALUES (1)")

    with pytest.raises(DatabaseError) as error, storage.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    close_storage(storage)
    assert _LOST_A_RACE.search(str(error.value))


def test_what_no_waiting_mends_on_a_database_is_one_line_at_once(mysql):
    url = mysql.database("there")
    for wrong, said in (
        (url.replace("geheim", "falsch"), "Access denied"),
        (url.replace("/there", "/nowhere"), "nowhere"),
    ):
        with pytest.raises(RepvitNasError, match=f"cannot be opened: .*{said}") as error:
            open_storage(wrong, say=pytest.fail)
        assert "\n" not in str(error.value)
        assert "falsch" not in str(error.value)


def test_what_a_database_does_not_take_is_said_at_once_in_its_own_words(mysql):
    url = mysql.database("full")
    storage = open_storage(url)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    too_long = "k" * 600  # of 512

    with pytest.raises(RepvitNasError, match="failed: .*Data too long for column 'key'"):
        ask(
            lambda: storage.set_study_user_attr(study_id, too_long, 1),
            url,
            wait_s=60,
            say=pytest.fail,
        )
    close_storage(storage)


def test_a_driver_that_is_not_there_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)

    with pytest.raises(RepvitNasError, match=r"needs pymysql: pip install 'repvit-nas\[mysql\]'"):
        open_storage("mysql://me:geheim@127.0.0.1/db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("journal://study.log", "journal:///FILE"),
        ("journal:///", "journal:///FILE"),
        ("journal:///no/such/folder/study.log", "four slashes"),
        ("grpc://nowhere", "grpc://HOST:PORT"),
        ("postgresql://me:a@b@host/db", "%40"),
        ("nonsense", "cannot be opened"),
    ],
)
def test_a_url_that_means_nothing_says_what_would(url, said):
    with pytest.raises(RepvitNasError, match=said) as error:
        open_storage(url)

    assert "\n" not in str(error.value)


def test_a_journal_may_be_named_from_here_or_from_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    open_storage("journal:///here.log")
    open_storage(f"journal:///{tmp_path}/there.log")

    assert {path.name for path in tmp_path.iterdir()} == {"here.log", "there.log"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:geheim@host:6379/0", "redis://:***@host:6379/0"),
        ("mysql://me:geheim@host/db", "mysql://me:***@host/db"),
        ("x://host/db?password=geheim&a=b", "x://host/db?password=***&a=b"),
        ("sqlite:///study.db", "sqlite:///study.db"),
    ],
)
def test_passwords_are_masked_and_nothing_else(text, shown):
    assert masked(text) == shown
