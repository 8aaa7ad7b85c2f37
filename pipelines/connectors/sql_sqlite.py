"""SQLite: a file, opened for reading only, in one read transaction.

In write-ahead mode writers go on meanwhile; else they wait until the transaction ends.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from pipelines import filesystem
from pipelines.connectors import sql_rows
from pipelines.connectors.sql_session import CONNECT_SECONDS, Relation, Settings
from reconcilers.errors import ConfigError, ReconError, Unreachable

#: Virtual machine steps between two looks at the clock.
_STEPS = 100_000


@contextmanager
def session(settings: Settings) -> Iterator[Session]:
    """Begin a read transaction. Raises `Unreachable` where there is no such file."""
    name = settings.address.url.database
    if not name or name == ":memory:":
        raise ConfigError("url names no file; write sqlite:///erp.db")
    path = Path(filesystem.absolute(settings.base, name)).absolute()
    if not path.is_file():
        raise Unreachable(f"{path}: no such file")
    try:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro", uri=True, timeout=CONNECT_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        raise Unreachable(f"{path}: {error}") from error
    with closing(connection):
        opened = Session(settings, connection)
        opened.begin()
        yield opened


@dataclass
class Session:
    """A read transaction on a file."""

    settings: Settings
    connection: sqlite3.Connection
    as_of: datetime = field(init=False)

    def begin(self) -> None:
        """Begin; the first read fixes what is seen, then this machine's clock is read."""
        with self._told():
            self.connection.execute("pragma query_only = on")
            self.connection.execute("begin")
            self.connection.execute("select count(*) from sqlite_master").fetchone()
        self.as_of = datetime.now(UTC)

    def read(self, relation: Relation) -> Iterator[pa.Table]:
        """Read a table at a time, until the timeout."""
        with self._told(), closing(self.connection.execute(relation.select)) as cursor:
            yield from sql_rows.tables(cursor)

    def estimated_rows(self, relation: Relation) -> int:
        """All of them counted: a file is near."""
        with self._told():
            return int(
                self.connection.execute(f"select count(*) from {relation.source}{relation.clause}").fetchone()[0]
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A statement that ends in time; SQLite's errors as one line each."""
        ends = time.monotonic() + self.settings.timeout.total_seconds()
        self.connection.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
        try:
            yield
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> ReconError:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_INTERRUPT":
            return Unreachable(self.settings.too_long)
        if name.startswith("SQLITE_READONLY"):
            return ConfigError(f"the query must only read: {error}")
        # Syntax, unknown names and two statements in one are the query's fault.
        return ConfigError(str(error)) if name in ("SQLITE_ERROR", "") else Unreachable(str(error))
