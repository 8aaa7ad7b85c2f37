"""DuckDB in this process: in memory, in UTC, and never on the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import duckdb


@contextmanager
def connect(threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database of its own, whose settings may be changed; `threads`: all cores if not given."""
    with _open(threads) as database:
        yield _prepared(database)


@contextmanager
def session(threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database that all sessions of this process share: opening one takes as long as a small bucket.

    Everything made in a session must be temporary, and then no other session sees it; a setting of the
    database would change it for all. With one thread, the work is done by the caller's: many may run side by side.
    """
    with _shared(threads).cursor() as con:
        yield _prepared(con)


def _open(threads: int | None) -> duckdb.DuckDBPyConnection:
    limit = {} if threads is None else {"threads": threads}
    return duckdb.connect(config={"autoinstall_known_extensions": "false", **limit})


#: The database of sessions with so many threads.
_shared = cache(_open)


def _prepared(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    con.execute("set TimeZone = 'UTC'")
    con.execute("set enable_progress_bar = false")
    return con
