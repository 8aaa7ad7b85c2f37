"""Real database servers for the tests: started in a directory of their own, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

#: Has what URLs, quoting and percent signs trip over; must not turn up in any output.
PASSWORD = "s3cr3t/p@ss:w%rd"


@dataclass
class Server:
    """A running server, with a user `recon` and a database `erp`."""

    scheme: str
    port: int
    start: list[str]
    client: list[str]
    account: str | None
    ping: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self):
        """How `recon` reaches it."""
        return self.url_of()

    def url_of(self, user="recon", password=PASSWORD, host="127.0.0.1", port=None, database="erp"):
        """A URL with something else in it."""
        return f"{self.scheme}://{user}:{quote(password, safe='')}@{host}:{port or self.port}/{database}"

    def run(self, script):
        """Run SQL with the server's own client and return what it prints."""
        done = subprocess.run(
            self.client,
            input=script,
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self):
        """Start it, and wait until it answers; what a killed one has left may refuse the first attempts."""
        for _ in range(50):
            self.process = subprocess.Popen(
                self.start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_as(self.account)
            )
            if self._answers():
                return
        raise RuntimeError(f"{self.scheme} does not start")

    def _answers(self):
        """Whether it answers; False where it has ended instead."""
        for _ in range(300):
            if subprocess.run(self.ping, capture_output=True, check=False).returncode == 0:
                return True
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
                return False
        return False

    def down(self, how=signal.SIGKILL):
        """End it, by default at once."""
        self.process.send_signal(how)
        self.process.wait()


class Sqlite:
    """A file with the verbs of a server."""

    scheme = "sqlite"

    def __init__(self, path):
        self.path = path
        self.run("pragma journal_mode = wal")

    @property
    def url(self):
        return f"sqlite:///{self.path}"

    def run(self, script):
        connection = sqlite3.connect(self.path)
        connection.executescript(script)
        connection.close()


@contextmanager
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server with passwords required."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    on_path = shutil.which("postgres")
    directory = programs[-1] if programs else Path(on_path).resolve().parent if on_path else None
    if directory is None:
        _missing("PostgreSQL (the package postgresql)")
    with _directory("postgres") as (home, account):
        (home / "password").write_text(PASSWORD)
        subprocess.run(
            [directory / "initdb", "-D", home / "data", "-U", "recon", "-A", "scram-sha-256",
             f"--pwfile={home / 'password'}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, **_as(account),
        )  # fmt: skip
        port = _free_port()
        server = Server(
            "postgresql",
            port,
            [f"{directory}/postgres", "-D", f"{home}/data", "-p", str(port), "-k", str(home),
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
            [f"{directory}/psql", "-h", str(home), "-p", str(port), "-U", "recon", "-v", "ON_ERROR_STOP=1",
             "-qAt", "erp"],
            account,
            [f"{directory}/pg_isready", "-h", "127.0.0.1", "-p", str(port)],
            {"PGPASSWORD": PASSWORD},
        )  # fmt: skip
        try:
            server.up()
            create = [*server.client[:-1], "postgres", "-c", "create database erp"]
            subprocess.run(create, check=True, env={**os.environ, **server.environment})
            yield server
        finally:
            server.down(signal.SIGQUIT)


@contextmanager
def standby(primary) -> Iterator[Server]:
    """A server that follows a PostgreSQL server, read only."""
    directory = Path(primary.start[0]).parent
    with _directory("postgres") as (home, account):
        subprocess.run(
            [directory / "pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "recon",
             "-D", home / "data", "-R", "-c", "fast", "--no-sync"],
            check=True, capture_output=True, env={**os.environ, **primary.environment}, **_as(account),
        )  # fmt: skip
        port = _free_port()
        start = [f"{home}/data" if part.endswith("/data") else part for part in primary.start]
        start[start.index("-p") + 1], start[start.index("-k") + 1] = str(port), str(home)
        client = list(primary.client)
        client[client.index("-p") + 1], client[client.index("-h") + 1] = str(port), str(home)
        ping = [*primary.ping[:-1], str(port)]
        server = Server("postgresql", port, start, client, account, ping, primary.environment)
        try:
            server.up()
            yield server
        finally:
            server.down(signal.SIGQUIT)


@contextmanager
def mariadb() -> Iterator[Server]:
    """A MariaDB server with passwords required."""
    daemon = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")
    install = shutil.which("mariadb-install-db")
    if daemon is None or install is None:
        _missing("MariaDB (the package mariadb-server)")
    with _directory("mysql") as (home, account):
        # Servers that share /tmp take away one another's temporary tables.
        subprocess.run(
            [install, "--no-defaults", f"--datadir={home}/data", f"--tmpdir={home}",
             "--auth-root-authentication-method=normal"],
            check=True, capture_output=True, **_as(account),
        )  # fmt: skip
        port = _free_port()
        client = [
            "mariadb",
            "--no-defaults",
            "--batch",
            "-N",
            "--default-character-set=utf8mb4",
            f"--socket={home}/socket",
            "-uroot",
        ]
        server = Server(
            "mysql",
            port,
            [daemon, "--no-defaults", f"--datadir={home}/data", f"--socket={home}/socket", f"--port={port}",
             f"--tmpdir={home}", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2",
             "--character-set-server=utf8mb4"],
            [*client, "erp"],
            account,
            ["mariadb-admin", "--no-defaults", f"--socket={home}/socket", "-uroot", "ping"],
        )  # fmt: skip
        try:
            server.up()
            # The anonymous user of a new server stands before any user from anywhere.
            create = f"create database erp; drop user if exists ''@'localhost';" \
                     f"create user recon@'127.0.0.1' identified by '{PASSWORD}';" \
                     "grant all on erp.* to recon@'127.0.0.1';"  # fmt: skip
            subprocess.run([*client, "-e", create], check=True)
            yield server
        finally:
            server.down()


def _missing(what):
    """Skip on a laptop; fail where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


@contextmanager
def _directory(account):
    """A directory of the account that the server runs as: servers refuse to be root."""
    name = account if os.geteuid() == 0 else None
    if name is not None:
        try:
            pwd.getpwnam(name)
        except KeyError:
            name = "nobody"
    home = Path(tempfile.mkdtemp(prefix="recon-db-"))
    try:
        if name is not None:
            shutil.chown(home, name)
        yield home, name
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _as(account):
    return {} if account is None else {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
