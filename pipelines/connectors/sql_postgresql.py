"""PostgreSQL through ADBC: COPY in binary, straight into Arrow.

A transaction exports its snapshot, so that splits on connections of their own see one instant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.connectors.ahead import Silence, ahead
from pipelines.connectors.sql_session import CONNECT_SECONDS, Address, Relation, Settings, Split, distinct
from reconcilers.errors import ConfigError, ReconError, Unreachable

#: Types that arrive in Arrow as what they are. Any other is read as text, also numeric: the server
#: writes its digits twice as fast as the driver would.
_NATIVE = {
    "int2", "int4", "int8", "float4", "float8", "bool", "text", "varchar", "bpchar", "name",
    "json", "jsonb", "timestamptz", "timestamp", "date",
}  # fmt: skip

#: A dead peer is noticed within a minute; the rest of libpq's own parameters may be in the URL.
_CONNECTION = {
    "application_name": "recon",
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

#: A read-only transaction refuses to write, a subquery to hold a statement that does.
_WRITES = ("25006", "0A000")

#: The instant that a transaction shows: the present, or how far a standby that lags has come.
_SHOWN = """case when pg_is_in_recovery() and pg_last_wal_receive_lsn() is distinct from pg_last_wal_replay_lsn()
    then pg_last_xact_replay_timestamp() else clock_timestamp() end"""

_BATCH_BYTES = 8 << 20

#: Beyond its own timeout, how long the server may say nothing at all.
_SILENCE_SECONDS = 10

#: A sample of so many keys tells where to cut.
_SAMPLE = 20_000

_YEAR_1, _YEAR_9999 = -719_162, 2_932_896


@contextmanager
def session(settings: Settings, snapshot: str | None = None) -> Iterator[Session]:
    """Begin a read-only transaction in repeatable read."""
    connection = _connected(settings.address)
    opened = Session(settings, connection)
    try:
        opened.begin(snapshot)
        yield opened
    finally:
        # A connection in which a thread still waits must not be closed under it.
        if not opened.lost:
            connection.close()


def _connected(address: Address) -> Any:
    try:
        from adbc_driver_postgresql import dbapi
    except ModuleNotFoundError as error:
        raise ConfigError("PostgreSQL is read through ADBC: pip install adbc-driver-postgresql") from error
    given = dict(address.url.query)
    uri = address.url.set(drivername="postgresql", query={**_CONNECTION, **given}).render_as_string(hide_password=False)
    try:
        return dbapi.connect(uri, autocommit=True)
    except dbapi.Error as error:
        raise Unreachable(_said(address, error)) from error


@dataclass
class Session:
    """A transaction on a connection of its own."""

    settings: Settings
    connection: Any
    as_of: datetime = field(init=False)
    exported: str | None = None
    lost: bool = False

    def begin(self, snapshot: str | None) -> None:
        """Begin, and see what `snapshot` sees, or say what this transaction sees.

        The snapshot is taken by the first query, whose clock is read after it: every row seen was
        committed by `as_of`. Local settings end with the transaction, also behind a pooler.
        """
        zone = self.settings.timezone.replace("'", "''")
        milliseconds = max(1, int(self.settings.timeout.total_seconds() * 1000))
        statements = [
            "begin isolation level repeatable read read only",
            *([f"set transaction snapshot '{snapshot}'"] if snapshot else []),
            f"set local statement_timeout = {milliseconds}",
            "set local idle_in_transaction_session_timeout = 0",
            f"set local timezone to '{zone}'",
            "set local datestyle to 'ISO'",
        ]
        with self._told(), self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        if snapshot is None:
            shown, exported = self._row(f"select {_SHOWN}, pg_export_snapshot()")
            if shown is None:
                raise Unreachable("the standby lags, and has replayed nothing that would say how far it has come")
            self.as_of, self.exported = shown.astimezone(UTC), str(exported)

    def read(self, relation: Relation) -> Iterator[pa.Table]:
        """Read in a thread of its own, a batch ahead; a server that falls silent is an error."""
        seconds = self.settings.timeout.total_seconds() + _SILENCE_SECONDS
        try:
            with closing(ahead(self._batches(relation), seconds)) as batches:
                yield from batches
        except Silence:
            self.lost = True
            raise Unreachable(f"no answer for {seconds:,.0f} s") from None

    def estimated_rows(self, relation: Relation) -> int:
        """What the planner expects."""
        plan = self._row(f"explain (format json) {relation.select}", copy=False)
        return int(json.loads(plan[0])[0]["Plan"]["Plan Rows"])

    def splits(self, relation: Relation, column: str, wanted: int) -> tuple[Split, ...]:
        """Ranges of a column that hold about as many rows each, cut where a sample of keys says.

        Together they hold every row once, nulls in the first, wherever the cuts are.
        """
        shares = ", ".join(str(number / wanted) for number in range(1, wanted))
        rows = relation.narrowed(f"{column} is not null")
        cuts = self._row(
            f"select array_to_json((percentile_disc(array[{shares}]) within group (order by {column}))::text[])"
            f" from {self._sampled(relation)}{rows.clause}"
        )
        bounds = list(dict.fromkeys(json.loads(cuts[0]) if cuts[0] else []))
        literals = ["'" + bound.replace("'", "''") + "'" for bound in bounds if bound is not None]
        conditions = [
            " and ".join(([f"{column} >= {low}"] if low else []) + ([f"{column} < {high}"] if high else []))
            for low, high in zip([None, *literals], [*literals, None], strict=True)
        ]
        if len(conditions) == 1:
            return (Split(where=relation.where, snapshot=self.exported),)
        conditions[0] += f" or {column} is null"
        return tuple(
            Split(number, len(conditions), relation.narrowed(condition).where, self.exported)
            for number, condition in enumerate(conditions, 1)
        )

    def _sampled(self, relation: Relation) -> str:
        """About `_SAMPLE` rows: of some blocks where it is a table, else of all rows."""
        share = min(1.0, _SAMPLE / max(1, self.estimated_rows(relation)))
        if share == 1:
            return relation.source
        if relation.table is not None:
            name = relation.table.replace("'", "''")
            found = self._row(
                f"select count(*) from pg_class where oid = to_regclass('{name}') and relkind in ('r', 'm')"
            )
            if found[0]:
                return f"{relation.table} tablesample system ({share * 100:.6f})"
        return f"(select * from {relation.source} where random() <= {share:.8f}) as sample"

    def _batches(self, relation: Relation) -> Generator[pa.Table]:
        with self._told(), self.connection.cursor() as cursor:
            columns = self._columns(cursor, relation)
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            cursor.execute(f"select {columns} from {relation.source}{relation.clause}")
            with cursor.fetch_record_batch() as reader:
                yield _plain(pa.Table.from_batches([], reader.schema))
                for batch in reader:
                    yield _plain(pa.Table.from_batches([batch]))

    def _columns(self, cursor: Any, relation: Relation) -> str:
        """The columns by name, as text where Arrow has no type for them."""
        schema = cursor.adbc_execute_schema(f"select * from {relation.source}")
        distinct(schema.names)
        quoted = ['"' + name.replace('"', '""') + '"' for name in schema.names]
        kinds = [(field.metadata or {}).get(b"POSTGRESQL:type", b"").decode() for field in schema]
        return ", ".join(
            name if kind in _NATIVE else f"{name}::text as {name}" for name, kind in zip(quoted, kinds, strict=True)
        )

    def _row(self, query: str, *, copy: bool = True) -> list[Any]:
        with self._told(), self.connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": str(copy).lower()})
            cursor.execute(query)
            return [column[0].as_py() for column in _plain(cursor.fetch_arrow_table()).columns]

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The driver's errors as one line each."""
        from adbc_driver_postgresql import dbapi

        try:
            yield
        except (dbapi.Error, pa.ArrowException, OSError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> ReconError:
        text = _said(self.settings.address, error)
        state = getattr(error, "sqlstate", None) or ""
        if "statement timeout" in text:
            return Unreachable(self.settings.too_long)
        # What fails while rows are on their way arrives without its state.
        if state in _WRITES or "in a read-only transaction" in text:
            return ConfigError(f"the query must only read: {text}")
        # Syntax, unknown names and wrong types are the query's fault; a missing grant is not.
        if state.startswith("42") and state != "42501":
            return ConfigError(text)
        return Unreachable(text)


def _plain(table: pa.Table) -> pa.Table:
    """Extension types as what they are stored as; instants and dates without an end as text."""
    columns = []
    for column in table.columns:
        if isinstance(column.type, pa.BaseExtensionType):
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        if pa.types.is_timestamp(column.type) or pa.types.is_date32(column.type):
            column = _finite(column)
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants and dates; 'infinity', for which Arrow has no value, and what is near it become text."""
    unit = 1 if pa.types.is_date32(column.type) else 86_400_000_000
    numbers = column.cast(pa.int32() if unit == 1 else pa.int64())
    span = pc.min_max(numbers).as_py()
    low, high = _YEAR_1 * unit, _YEAR_9999 * unit
    if span["min"] is None or (span["min"] >= low and span["max"] < high):
        return column
    inside = pc.and_(pc.greater_equal(numbers, low), pc.less(numbers, high))
    text = pc.if_else(inside, column, pa.scalar(None, column.type)).cast(pa.string())
    return pc.if_else(pc.fill_null(inside, True), text, "infinity")


def _said(address: Address, error: Exception) -> str:
    """What the server or libpq said, without what the driver adds around it."""
    text = re.split(r"\n\s*\n?Query was:|\. SQLSTATE:", str(error))[0]
    found = re.search(r"(?:ERROR|FATAL):\s+(.*)", text, re.DOTALL)
    text = found[1] if found else re.sub(r"^[A-Z_]+: |\[libpq\] |Failed to connect: ", "", text)
    return address.line(re.split(r"\nLINE \d+:|\nDETAIL:|\nCONTEXT:", text)[0])
