"""Real databases for tests: scratch servers on the loopback address, run by an ordinary user."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# Debian keeps the server's programs out of the path.
_POSTGRESQL = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
_USERS = ("postgres", "nobody")
_MARIADB = ("mariadbd", "mariadb-install-db")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def postgresql_programs():
    """Return the folder of initdb and postgres, or None where the machine has none."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else _POSTGRESQL
    return next((each for each in folders if (each / "initdb").exists()), None)


def ordinary_user():
    """Return how a command is run as somebody else than root, whom PostgreSQL refuses."""
    if os.getuid() != 0:
        return [], None
    import pwd

    for name in _USERS:
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return ["runuser", "-u", name, "--"], name
    return None, None


class PostgreSQL:
    """A scratch cluster that can be killed and started again.

    In a folder of its own: pytest's are for root alone, and PostgreSQL runs as somebody else.
    """

    def __init__(self, folder):
        self._programs = postgresql_programs()
        self._as, user = ordinary_user()
        self._folder = folder / "cluster"
        self.port = free_port()
        self._folder.mkdir()
        if user:
            folder.chmod(0o755)
            shutil.chown(self._folder, user)
        self._run("initdb", "-D", self._folder, "-A", "trust", "-U", "nas", "--no-sync")

    def _run(self, program, *arguments):
        command = [*self._as, str(self._programs / program), *map(str, arguments)]
        # The server that pg_ctl leaves behind keeps whatever it is given to write to.
        with (self._folder.parent / "postgresql.log").open("ab") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd="/")

    def start(self):
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c fsync=off"
        self._run("pg_ctl", "-D", self._folder, "-w", "-o", options, "start")

    def kill(self):
        """Kill the server; those that it started end when they notice."""
        lock = self._folder / "postmaster.pid"
        pid = int(lock.read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        while _alive(pid):
            time.sleep(0.05)
        lock.unlink()  # a process that nobody waited for looks alive to the next server

    def database(self, name):
        """Make an empty database; return its URL."""
        where = ["-h", "127.0.0.1", "-p", self.port, "-U", "nas"]
        self._run("createdb", *where, name)
        return f"postgresql://nas@127.0.0.1:{self.port}/{name}"


def _alive(pid):
    with contextlib.suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def has_mariadb():
    return all(shutil.which(program, path=_with_sbin()) for program in _MARIADB)


def _with_sbin():
    """Return the path with the folder that Debian keeps from ordinary users."""
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin"])


class MariaDB:
    """A scratch server that speaks MySQL's protocol, and can be killed and started again.

    What it has committed outlives it, not the machine: it never waits for the disk.
    """

    def __init__(self, folder):
        self._server, install = (shutil.which(each, path=_with_sbin()) for each in _MARIADB)
        self._folder = folder / "data"
        self._folder.mkdir()
        _, user = ordinary_user()
        self._options = [f"--datadir={self._folder}"]
        if user:
            folder.chmod(0o755)
            shutil.chown(self._folder, user)
            self._options.append(f"--user={user}")
        self._log = folder / "mariadb.log"
        self.port = free_port()
        command = [install, "--no-defaults", *self._options, "--skip-test-db"]
        with self._log.open("ab") as log:
            as_root = "--auth-root-authentication-method=normal"
            subprocess.run([*command, as_root], check=True, stdout=log, stderr=log, cwd="/")

    def start(self):
        options = (
            f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self._folder}/socket",
            "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync",
            # As Debian's settings have them.
            "--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci",
        )  # fmt: skip
        command = [self._server, "--no-defaults", *self._options, *options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        wait_for(self.port)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def database(self, name):
        """Make an empty database; return its URL."""
        import pymysql

        root = pymysql.connect(host="127.0.0.1", port=self.port, user="root")
        with root, root.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            cursor.execute(f"GRANT ALL ON {name}.* TO nas@127.0.0.1 IDENTIFIED BY 'geheim'")
        return f"mysql://nas:geheim@127.0.0.1:{self.port}/{name}"


@contextlib.contextmanager
def redis_server(folder):
    """Run a Redis that writes nothing; yields its URL."""
    port = free_port()
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


@contextlib.contextmanager
def grpc_proxy(url):
    """Run Optuna's proxy in front of a storage; yields its URL."""
    port = free_port()
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from optuna.storages import run_grpc_proxy_server\n"
        "from repvit_nas.storages import open_storage\n"
        f"run_grpc_proxy_server(open_storage({url!r}), host='127.0.0.1', port={port})"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(port)
            yield f"grpc://127.0.0.1:{port}"
        finally:
            server.kill()


def wait_for(port, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers on port {port}")
