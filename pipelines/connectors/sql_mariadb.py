"""MariaDB and MySQL through PyMySQL: one connection, one consistent snapshot.

Values are taken as the text that the server sends, so numbers stay exact and nothing is parsed twice.
The session is in UTC: TIMESTAMP columns are instants, DATETIME columns local times of the dataset.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.connectors import sql_rows
from pipelines.connectors.sql_session import CONNECT_SECONDS, Relation, Settings
from reconcilers.errors import ConfigError, ReconError, Unreachable

#: Errors that are the query's own: ambiguous, unknown or misspelt names, syntax, functions, grouping.
WRONG_QUERY = {1052, 1054, 1055, 1064, 1109, 1128, 1146, 1222, 1305, 1582, 1630}
_WRITES = {1290, 1792}
_TIMEOUT = {1969, 3024}

_SILENCE_SECONDS = 10


@contextmanager
def session(settings: Settings) -> Iterator[Session]:
    """Begin a read-only transaction with a consistent snapshot."""
    import pymysql.cursors
    from pymysql.constants import FIELD_TYPE

    address, url = settings.address, settings.address.url
    seconds = settings.timeout.total_seconds()
    given: dict[str, Any] = {"conv": pymysql.converters.encoders, **url.query}
    if "ssl_ca" in given:
        given["ssl"] = {"ca": given.pop("ssl_ca")}
    try:
        connection: Any = pymysql.connect(
            host=url.host or "localhost",
            port=url.port or 3306,
            user=url.username,
            password=str(url.password or ""),
            database=url.database,
            cursorclass=pymysql.cursors.SSCursor,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=CONNECT_SECONDS,
            write_timeout=CONNECT_SECONDS,
            autocommit=True,
            **given,
        )
        # PyMySQL has one timeout for the handshake, which is short, and for statements, which are not.
        connection._read_timeout = seconds + _SILENCE_SECONDS
    except TypeError as error:
        raise ConfigError(f"url: {address.line(error)}") from error
    except (pymysql.Error, OSError) as error:
        raise Unreachable(address.line(_message(error))) from error
    try:
        opened = Session(settings, connection, frozenset({FIELD_TYPE.TIMESTAMP}))
        opened.begin()
        yield opened
    finally:
        with suppress(pymysql.Error):
            connection.close()


@dataclass
class Session:
    """A transaction on its connection, which is read one statement after the other."""

    settings: Settings
    connection: Any
    instants: frozenset[int]
    as_of: datetime = field(init=False)

    def begin(self) -> None:
        """Begin; the clock is read after the snapshot was taken, so what is seen was committed by then."""
        seconds = self.settings.timeout.total_seconds()
        mariadb = "mariadb" in self.connection.get_server_info().lower()
        limit = f"max_statement_time = {seconds}" if mariadb else f"max_execution_time = {int(seconds * 1000)}"
        for statement in (
            "set session transaction isolation level repeatable read",
            f"set time_zone = '+00:00', {limit}, net_write_timeout = {max(60, int(seconds))}",
            "start transaction with consistent snapshot, read only",
        ):
            with self._told(), self.connection.cursor() as cursor:
                cursor.execute(statement)
        (instant,) = self._row("select utc_timestamp(6)")
        self.as_of = datetime.fromisoformat(instant).replace(tzinfo=UTC)

    def read(self, relation: Relation) -> Iterator[pa.Table]:
        """Read row by row off the wire, a table at a time."""
        with self._told():
            cursor = self.connection.cursor()
            try:
                cursor.execute(relation.select)
                kinds = [column[1] for column in cursor.description or ()]
                for table in sql_rows.tables(cursor):
                    yield self._with_instants(table, kinds)
            except BaseException:
                _abandon(cursor)
                raise
            cursor.close()

    def estimated_rows(self, relation: Relation) -> int:
        """The largest number that the optimizer expects of any step."""
        with self._told(), self.connection.cursor() as cursor:
            cursor.execute(f"explain {relation.select}")
            place = [column[0] for column in cursor.description].index("rows")
            return max((int(row[place]) for row in cursor.fetchall() if row[place] is not None), default=0)

    def _row(self, query: str) -> tuple[Any, ...]:
        with self._told(), self.connection.cursor() as cursor:
            cursor.execute(query)
            found: tuple[Any, ...] = cursor.fetchall()[0]
            return found

    def _with_instants(self, table: pa.Table, kinds: list[int]) -> pa.Table:
        """TIMESTAMP columns with the Z that says what they are."""
        for place, kind in enumerate(kinds):
            if kind in self.instants:
                zoned = pc.binary_join_element_wise(table.column(place).cast(pa.string()), "Z", "")
                table = table.set_column(place, table.column_names[place], zoned)
        return table

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The driver's errors as one line each."""
        import pymysql

        try:
            yield
        except (pymysql.Error, OSError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> ReconError:
        text = self.settings.address.line(_message(error))
        code = error.args[0] if error.args else None
        if code in _TIMEOUT:
            return Unreachable(self.settings.too_long)
        if code in _WRITES:
            return ConfigError(f"the query must only read: {text}")
        return ConfigError(text) if code in WRONG_QUERY else Unreachable(text)


def _abandon(cursor: Any) -> None:
    """Leave a result unread: PyMySQL would else read it to its end, off a connection that is gone."""
    result = getattr(cursor, "_result", None)
    if result is not None:
        result.unbuffered_active = False
    cursor.connection = None


def _message(error: Exception) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error)
