import contextlib
import importlib.util
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

# One thread each: the tests run side by side. Set before numpy and torch are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest
from buckets import KINDS, bucket_server, is_installed, new_bucket
from databases import (
    MariaDB,
    PostgreSQL,
    grpc_proxy,
    has_mariadb,
    ordinary_user,
    postgresql_programs,
    redis_server,
)
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repository",
    deadline=None,  # machines are shared and noisy
    derandomize=True,  # a failure is found again
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repository")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working directory without data folders: the shipped copies are used."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def measured_phone(elsewhere):
    """A phone that counts as measured."""
    from repvit_nas import data
    from repvit_nas.latency_lut.statistics import PROTOCOL_VERSION

    home = elsewhere / "latency_lut" / "iphone12"
    home.mkdir(parents=True)
    shipped = data.shipped_root() / "latency_lut/iphone12/device.json"
    runtime = {"name": "coreml", "target": "iphone12"}
    changed = {"kind": "measured", "protocol": PROTOCOL_VERSION, "runtime": runtime}
    (home / "device.json").write_text(json.dumps(json.loads(shipped.read_text()) | changed))


@pytest.fixture(scope="session")
def postgresql():
    if postgresql_programs() is None or ordinary_user()[0] is None:
        pytest.skip("ATTENTION: PostgreSQL is not installed: apt-get install postgresql")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("ATTENTION: psycopg is not installed: pip install 'repvit-nas[postgresql]'")
    yield from running(PostgreSQL)


@pytest.fixture(scope="session")
def mysql():
    if not has_mariadb() or ordinary_user()[0] is None:
        pytest.skip("ATTENTION: MariaDB is not installed: apt-get install mariadb-server")
    if importlib.util.find_spec("pymysql") is None:
        pytest.skip("ATTENTION: pymysql is not installed: pip install 'repvit-nas[mysql]'")
    yield from running(MariaDB)


def running(kind):
    with tempfile.TemporaryDirectory() as folder:
        server = kind(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture
def database_server(request):
    """The database server that a test names."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["sqlite", "journal", "postgresql", "mysql", "redis", "grpc"])
def url(request, tmp_path):
    """A fresh, empty storage of each kind that the machine offers."""
    with contextlib.ExitStack() as stack:
        match request.param:
            case "sqlite":
                yield f"sqlite:///{tmp_path}/study.db"
            case "journal":
                yield f"journal:///{tmp_path}/study.log"
            case "postgresql" | "mysql":
                server = request.getfixturevalue(request.param)
                yield server.database(f"db{time.monotonic_ns()}")
            case "redis":
                if not shutil.which("redis-server") or not importlib.util.find_spec("redis"):
                    pytest.skip("ATTENTION: Redis is not installed: apt-get install redis-server")
                yield stack.enter_context(redis_server(tmp_path))
            case "grpc":
                if not importlib.util.find_spec("grpc"):
                    pytest.skip("ATTENTION: grpcio is not installed")
                yield stack.enter_context(grpc_proxy(f"sqlite:///{tmp_path}/study.db"))


def serving(kind):
    if not all(is_installed(module) for module in kind.needs):
        pytest.skip(f"ATTENTION: no server of {kind.scheme}:// is installed: {kind.install}")
    with bucket_server(kind) as environment:
        yield environment


@pytest.fixture(scope="session")
def s3():
    yield from serving(KINDS["s3"])


@pytest.fixture(scope="session")
def gs():
    yield from serving(KINDS["gs"])


@pytest.fixture(params=["folder", *KINDS])
def store_url(request, tmp_path, monkeypatch):
    """A fresh, empty artifact store of each kind that the machine offers."""
    if request.param == "folder":
        (tmp_path / "store").mkdir()
        return str(tmp_path / "store")
    for key, value in request.getfixturevalue(request.param).items():
        monkeypatch.setenv(key, value)
    return new_bucket(request.param)


@pytest.fixture
def invoke(elsewhere, capfd):
    """Run the command line in a folder without data; return exit code, stdout and stderr."""

    from repvit_nas.commands import main

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return end.value.code, out, err

    return run
