"""Optuna's storages by their URL: databases, journals and the proxy that several machines share."""

import math
import random
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from repvit_nas.errors import RepvitNasError
from repvit_nas.words import Say

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import TrialState

# How long a storage that does not answer is waited for, unless told otherwise.
WAIT_S: Final = 60.0
# Waits between two tries: doubled each time, and never all workers at once.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
# So many workers may make the tables of an empty database at once; all but one are told so.
_RACES: Final = 20
# A password in a URL, or in what a database says of one.
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@\s]*):.*@|(?<=password=)[^&\s]*", re.IGNORECASE)
# What a driver says where another worker was a moment faster.
_LOST_A_RACE: Final = re.compile(
    r"already exists|unique|duplicate (key|entry)|locked|deadlock|definition has changed",
    re.IGNORECASE,
)
# What no waiting mends, though drivers call it by the same error as an outage.
_FINAL: Final = re.compile(
    r"unable to open database file|authentication failed|access denied|no password supplied"
    r"|(database|role) \".*\" does not exist|unknown database|command denied",
    re.IGNORECASE,
)
T = TypeVar("T")


class Driver(NamedTuple):
    """What a kind of database is spoken to with.

    Attributes:
        scheme: Of the URL that Optuna gets.
        module: What must be installed.
        extra: The extra of this package that installs it.
    """

    scheme: str
    module: str
    extra: str


# By the first part of a URL. A URL that names its driver, such as mysql+mysqldb, is left as it is.
DRIVERS: Final = {
    "postgresql": Driver("postgresql+psycopg", "psycopg", "postgresql"),
    "postgres": Driver("postgresql+psycopg", "psycopg", "postgresql"),
    "mysql": Driver("mysql+pymysql", "pymysql", "mysql"),
    "redis": Driver("redis", "redis", "redis"),
    "rediss": Driver("rediss", "redis", "redis"),
    "grpc": Driver("grpc", "grpc", "grpc"),
}
JOURNAL: Final = "journal"
_REDIS: Final = ("redis", "rediss")


def masked(text: str) -> str:
    """Return `text` without the passwords of the URLs in it."""
    return _PASSWORD.sub(lambda match: f"{match[1]}:***@" if match[1] is not None else "***", text)


def open_storage(url: str, *, wait_s: float = WAIT_S, say: Say = lambda _: None) -> "BaseStorage":
    """Open an Optuna storage by its URL; its tables are made where there are none.

    Args:
        url: `sqlite:///FILE`, `postgresql://...`, `mysql://...`, any other database of SQLAlchemy;
            `journal:///FILE` (relative, as for SQLite; with four slashes absolute);
            `redis://HOST:PORT/DB`, a journal in Redis; `grpc://HOST:PORT`, Optuna's proxy.
        wait_s: How long one that does not answer is waited for.
        say: Told once if it is.

    Raises:
        RepvitNasError: It cannot be opened: a line without passwords.
    """
    lost = 0

    def once_more(error: Exception) -> bool:
        nonlocal lost
        lost += bool(_LOST_A_RACE.search(str(error)))
        return 0 < lost <= _RACES

    shown = masked(repr(url))
    # A driver would take a part of the password for a host.
    if url.partition("?")[0].count("@") > 1:
        raise RepvitNasError(
            f"the storage {shown} cannot be opened: in a password, @ is written %40 and / %2F"
        )
    try:
        return patiently(
            lambda: _open(url),
            f"the storage {shown}",
            wait_s=wait_s,
            say=say,
            anyway=once_more,
        )
    except RepvitNasError:
        raise
    except Exception as error:  # storages raise whatever their database raises
        said = first_line(error)
        raise RepvitNasError(f"the storage {shown} cannot be opened: {said}") from error


def check_there(url: str) -> None:
    """Raise where a storage is a file that is not there: opening it would make one.

    Args:
        url: As for :func:`open_storage`.

    Raises:
        RepvitNasError: There is none.
    """
    scheme, _, rest = url.partition(":///")
    path = Path(rest.partition("?")[0])
    if scheme in ("sqlite", JOURNAL) and path.name and not path.exists():
        raise RepvitNasError(
            f"the storage {url!r} is not there: no file {path}; measure-accuracy with this --storage "
            "begins a campaign in a new one"
        )


def close_storage(storage: "BaseStorage") -> None:
    """Close the connections of a storage."""
    from optuna.storages import GrpcStorageProxy, RDBStorage

    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()
    elif isinstance(storage, GrpcStorageProxy):
        storage.close()


def patiently(
    call: Callable[[], T],
    what: str,
    *,
    wait_s: float,
    say: Say = lambda _: None,
    anyway: Callable[[Exception], bool] = lambda _: False,
) -> T:
    """Call a storage, and call it again while it is out of reach, for so many seconds.

    Args:
        call: What to do.
        what: What it is done with, for what is said.
        wait_s: How long an outage may last.
        say: Told once when waiting begins, and once when it has ended well.
        anyway: Tells of an error that is no outage whether to try again all the same.

    Raises:
        Exception: Whatever the last try raised.
    """
    end, pause, told = math.inf, _FIRST_PAUSE_S, False
    while True:
        try:
            result = call()
        except Exception as error:
            if not anyway(error):
                now = time.monotonic()
                end = min(end, now + wait_s)
                if not is_outage(error) or now >= end:
                    raise
                if not told:
                    said = first_line(error)
                    say(f"{what} does not answer ({said}); waiting for up to {wait_s:g} s")
                    told = True
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        else:
            if told:
                say(f"{what} answers again")
            return result


def ask(
    call: Callable[[], T],
    url: str,
    *,
    wait_s: float,
    say: Say = lambda _: None,
    remedy: str = "start again with --resume",
) -> T:
    """Ask an open storage: an outage is waited for, and what else goes wrong is one line.

    Args:
        call: What to do.
        url: Of the storage.
        wait_s: How long an outage may last.
        say: Told of one.
        remedy: What to do about an error, for messages.

    Raises:
        RepvitNasError: It failed.
        UpdateFinishedTrialError: Somebody else has finished the trial: :func:`was_finished`.
    """
    what = f"the storage {masked(repr(url))}"
    try:
        return patiently(call, what, wait_s=wait_s, say=say)
    except Exception as error:
        if isinstance(error, RepvitNasError) or was_finished(error):
            raise
        raise RepvitNasError(f"{what} failed: {first_line(error)}; {remedy}") from error


def set_state(
    asking: Callable[[Callable[[], Any]], Any],
    storage: "BaseStorage",
    trial_id: int,
    state: "TrialState",
    values: Sequence[float] | None = None,
) -> bool:
    """Set the state of a trial; returns whether that was granted to this worker, and to no other.

    Args:
        asking: Asks the storage, as :func:`ask` does.
        storage: The storage.
        trial_id: What it calls the trial.
        state: The state.
        values: Of a trial that is complete.
    """
    try:
        return bool(asking(lambda: storage.set_trial_state_values(trial_id, state, values)))
    except Exception as error:
        if not was_finished(error):
            raise
        # Also by this worker, where the answer got lost in an outage.
        there = asking(lambda: storage.get_trial(trial_id))
        return state.is_finished() and bool(there.state == state)


def was_finished(error: Exception) -> bool:
    """Tell whether a storage's error says that the trial is finished already."""
    import optuna

    return isinstance(error, optuna.exceptions.UpdateFinishedTrialError)


def is_outage(error: Exception) -> bool:
    """Tell whether a storage's error may pass by itself: a server is gone, restarted or too busy."""
    import optuna
    import sqlalchemy.exc

    kinds: list[type[Exception]] = [
        optuna.exceptions.StorageInternalError,
        sqlalchemy.exc.OperationalError,
        sqlalchemy.exc.InterfaceError,
        ConnectionError,
        TimeoutError,
    ]
    # Drivers that were not imported have raised nothing.
    for module, name in (("redis.exceptions", "ConnectionError"), ("grpc", "RpcError")):
        if module in sys.modules:
            kinds.append(getattr(sys.modules[module], name))
    # Optuna gives one name to whatever a database says.
    if isinstance(error.__cause__, (sqlalchemy.exc.DataError, sqlalchemy.exc.ProgrammingError)):
        return False
    said = f"{error} {error.__cause__ or ''}"
    return isinstance(error, tuple(kinds)) and not _FINAL.search(said)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, without passwords, or what it is called."""
    import optuna

    # Of a database's error Optuna says that there was one.
    wrapped = isinstance(error, optuna.exceptions.StorageInternalError)
    text = str(error.__cause__ or error if wrapped else error).strip()
    return masked(text.splitlines()[0]) if text else type(error).__name__


def _open(url: str) -> "BaseStorage":
    import optuna

    scheme, separator, rest = url.partition("://")
    driver = DRIVERS.get(scheme)
    with warnings.catch_warnings():
        # Redis' journal and the proxy are what Optuna offers for these.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            if scheme == JOURNAL and separator:
                return _journal_file(rest)
            if scheme in _REDIS:
                return _journal_in_redis(url)
            if scheme == "grpc":
                return _proxy(url)
            resolved = url if driver is None else f"{driver.scheme}{separator}{rest}"
            return _database(resolved)
        except ImportError as error:
            if driver is None:
                raise
            raise RepvitNasError(
                f"the storage {masked(repr(url))} cannot be opened: it needs {driver.module}: "
                f"pip install 'repvit-nas[{driver.extra}]'"
            ) from error


def _journal_file(rest: str) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = Path(rest.removeprefix("/"))
    if not rest.startswith("/") or not path.name:
        raise RepvitNasError(
            f"a journal is given as journal:///FILE, or journal:////ABSOLUTE/FILE; got "
            f"{JOURNAL}://{rest}"
        )
    if not path.parent.is_dir():
        raise RepvitNasError(
            f"the journal's folder {path.parent} does not exist; an absolute path follows four "
            "slashes: journal:////ABSOLUTE/FILE"
        )
    return JournalStorage(JournalFileBackend(str(path)))


def _journal_in_redis(url: str) -> "BaseStorage":
    import redis  # noqa: F401  # Optuna's own line for its absence is three
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalRedisBackend

    return JournalStorage(JournalRedisBackend(url))


def _proxy(url: str) -> "BaseStorage":
    import grpc  # noqa: F401
    from optuna.storages import GrpcStorageProxy

    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None or parts.path not in {"", "/"}:
        raise RepvitNasError(f"a proxy is given as grpc://HOST:PORT; got {masked(url)}")
    proxy = GrpcStorageProxy(host=parts.hostname, port=parts.port)
    proxy.wait_server_ready(timeout=5)
    return proxy


def _database(url: str) -> "BaseStorage":
    from optuna.storages import RDBStorage

    # A connection that a restarted server has dropped is replaced before it is used.
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": 30}
    elif url.startswith("postgresql"):
        options["connect_args"] = {"connect_timeout": 10}
    storage = RDBStorage(url, engine_kwargs=options)
    if url.startswith("sqlite"):
        _lock_at_once(storage.engine)
    elif url.startswith(("mysql", "mariadb")):
        _widen(storage.engine)
    return storage


def _widen(engine: Any) -> None:
    """Have MySQL's attributes take 16 MiB, as other databases' do: its texts end at 64 KiB.

    A campaign's study keeps the names of the classes, and whoever chooses what comes next a list of
    networks.
    """
    narrow = (
        "SELECT table_name FROM information_schema.columns WHERE table_schema = DATABASE() "
        "AND column_name = 'value_json' AND data_type = 'text'"
    )
    with engine.begin() as connection:
        for table in connection.exec_driver_sql(narrow).scalars().all():
            connection.exec_driver_sql(f"ALTER TABLE {table} MODIFY value_json MEDIUMTEXT")


def _lock_at_once(engine: Any) -> None:
    """Have SQLite lock its file when a transaction begins, not when it first writes.

    Else two workers may both read that a trial waits, and both be granted it: SQLite knows no
    `SELECT ... FOR UPDATE`.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver would begin later, by itself

    engine.dispose()  # of connections from before
