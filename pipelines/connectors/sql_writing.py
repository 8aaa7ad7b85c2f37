"""Connections that the sink `sql` writes through: SQLAlchemy, with an end to every wait."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from pipelines import filesystem
from pipelines.connectors.sql_session import CONNECT_SECONDS, Address
from reconcilers.errors import ConfigError

#: The kind of database → the driver that writes to it.
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite+pysqlite",
}


def engine(address: Address, base: str, timeout: timedelta) -> sa.Engine:
    """An engine for one thread. Raises `ConfigError` for a database that is only read."""
    if address.backend not in _DRIVERS:
        raise ConfigError(f"{address.backend}: corrections are written to {', '.join(sorted(_DRIVERS))} only")
    url = address.url.set(drivername=_DRIVERS[address.backend])
    seconds = timeout.total_seconds()
    if address.backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigError("url names no file; write sqlite:///shop.db")
        url = url.set(database=filesystem.absolute(base, url.database))
        return _sqlite(url, seconds)
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if address.backend == "postgresql":
        arguments |= {"application_name": "recon", "options": f"-c statement_timeout={max(1, int(seconds * 1000))}"}
    else:
        arguments |= {"read_timeout": seconds, "write_timeout": seconds}
    try:
        return sa.create_engine(url, connect_args=arguments, isolation_level="READ COMMITTED")
    except ArgumentError as error:
        raise ConfigError(f"url: {address.line(error)}") from error


def _sqlite(url: sa.URL, seconds: float) -> sa.Engine:
    """SQLite, whose transactions lock the file before they read, and never make one."""
    uri = f"{Path(str(url.database)).absolute().as_uri()}?mode=rw"

    def connected() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=seconds, isolation_level=None)

    made = sa.create_engine("sqlite://", creator=connected, poolclass=sa.pool.NullPool)

    @sa.event.listens_for(made, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("begin immediate")

    return made


@contextmanager
def in_time(connection: sa.Connection, timeout: timedelta) -> Iterator[None]:
    """Hang up on a server that has said nothing for too long; libpq itself would wait for ever."""
    if connection.dialect.name != "postgresql":
        yield
        return
    descriptor: int = connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
    line = socket.socket(fileno=os.dup(descriptor))
    timer = threading.Timer(timeout.total_seconds() + 1, line.shutdown, [socket.SHUT_RDWR])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        line.close()
