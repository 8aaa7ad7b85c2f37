"""A BigQuery emulator for the tests, in an environment of its own: it cannot share one with recon.

The environment is made on first use, below the user's cache directory. `python tests/servers/bigquery.py`
makes it ahead of time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

#: numpy it needs and does not declare; the extension it would else download from the network.
PACKAGES = ("bqemulator==1.4.0", "duckdb==1.5.5", "duckdb-extensions", "duckdb-extension-spatial==1.5.5", "numpy")
PROJECT = "recon-test"


@dataclass
class Emulator:
    """A running emulator."""

    rest_port: int
    grpc_port: int
    process: subprocess.Popen[bytes]

    @cached_property
    def client(self):
        """The client of BigQuery's own library."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.bigquery import Client

        options = {"api_endpoint": self.endpoint["api_endpoint"]}
        return Client(project=PROJECT, credentials=AnonymousCredentials(), client_options=options)

    def run(self, *statements):
        """Run statements, and return the rows of the last as tuples."""
        for statement in statements:
            rows = self.client.query(statement, timeout=30).result(timeout=30)
        return [tuple(row) for row in rows]

    @property
    def endpoint(self):
        """The options that lead there."""
        return {
            "project": PROJECT,
            "api_endpoint": f"http://127.0.0.1:{self.rest_port}",
            "grpc_endpoint": f"127.0.0.1:{self.grpc_port}",
        }


def environment() -> Path:
    """The environment with the emulator, made where there is none. Raises `OSError`, `CalledProcessError`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recon-tests"
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"{PACKAGES[0].replace('==', '-')}-py{sys.version_info.major}.{sys.version_info.minor}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True)
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
            spatial = ["-c", "from duckdb_extensions import import_extension; import_extension('spatial')"]
            for step in (install, spatial):
                subprocess.run(
                    [home / "bin" / "python", *step], check=True, capture_output=True, timeout=600, env=_at(home)
                )
            (home / "ready").touch()
    return home


@contextmanager
def emulator() -> Iterator[Emulator]:
    """Start it on free ports."""
    home = environment()
    rest, grpc = _free_ports(2)
    process = subprocess.Popen(
        [home / "bin" / "bqemulator", "start", "--rest-port", str(rest), "--grpc-port", str(grpc), "--ephemeral",
         "--project", PROJECT],
        env=_at(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _answers(process, rest, grpc)
        yield Emulator(rest, grpc, process)
    finally:
        process.kill()
        process.wait()


def _at(home):
    """DuckDB keeps its extensions in the home directory."""
    return {**os.environ, "HOME": str(home)}


def _answers(process, rest, grpc):
    ends = time.monotonic() + 60
    while time.monotonic() < ends and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{rest}/bigquery/v2/projects", timeout=5).close()
            socket.create_connection(("127.0.0.1", grpc), timeout=5).close()
            return
        time.sleep(0.1)
    raise OSError("the BigQuery emulator does not answer")


def _free_ports(count):
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


if __name__ == "__main__":
    print(environment())  # noqa: T201
