"""Sink `sql`: corrections into a table, each exactly once.

A batch is one transaction: the rows are locked and read, what still shows what the correction expects
is updated, what was written is read back, and the keys go into a journal. Whoever sends a key again
finds it there. Without an answer everything or nothing has happened, and sending again is safe.

SKUs and locations are taken as they come: turning a canonical SKU into the one that the table knows is
the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import OperationalError as Operational

from pipelines.connectors import Context
from pipelines.connectors.option_values import Timeout
from pipelines.connectors.sql_mariadb import WRONG_QUERY
from pipelines.connectors.sql_session import Address, DatabaseUrl
from pipelines.connectors.sql_writing import engine, in_time
from reconcilers.corrections import Correction, Mode, Receipt, Status
from reconcilers.errors import ConfigError, Unreachable

#: MariaDB tells some refusals of a value as if the server were in trouble: SIGNAL, CHECK.
_REFUSED_BY_MARIADB = {1644, 3819, 4025}

#: A table or column that is not there is told as if the file were in trouble.
_MISSING_IN_SQLITE = ("no such table", "no such column")


class Columns(BaseModel):
    """What the table calls the key and the number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sku: str = "sku"
    location: str = "location"
    quantity: str = "quantity"


class SinkOptions(BaseModel):
    """Where corrections go in a database."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: DatabaseUrl = Field(repr=False, description="an SQLAlchemy URL of PostgreSQL, MariaDB, MySQL or SQLite")
    table: str = Field(min_length=1, description="the table, or schema.table, with one row a SKU and location")
    columns: Columns = Field(Columns(), description="its columns, as {sku: item_no, location: whse, quantity: on_hand}")
    journal: str = Field("recon_applied", min_length=1, description="the table of applied keys; made where missing")
    timeout: Timeout = Field(timedelta(minutes=1), description="how long a batch may take")


class _Refused(Exception):
    """The database, or the sink itself, will not have what is written."""


@dataclass(frozen=True)
class _Row:
    """A row of the table: its key as the table has it, and its number as the driver gives it."""

    sku: Any
    location: Any
    quantity: Any

    @property
    def shown(self) -> Decimal | None:
        """The number as an exact decimal; None where it is null."""
        return None if self.quantity is None else Decimal(str(self.quantity))


Key = tuple[str, str]


class Sink:
    """A table that takes corrections by compare-and-set, or as deltas."""

    modes = frozenset({Mode.SET, Mode.DELTA})
    batch_size = 500

    def __init__(self, options: SinkOptions, context: Context) -> None:
        self.options = options
        self.address = Address.parse(options.url)
        self.engine = engine(self.address, context.base, options.timeout)
        self.table = _table(options.table, options.columns.model_dump().values())
        self.sku, self.location, self.quantity = (self.table.c[name] for name in options.columns.model_dump().values())
        self.journal = _journal(options.journal)
        self.ready = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.address.shown}: {self.options.table}"

    def send(self, corrections: Sequence[Correction]) -> list[Receipt]:
        """Apply a batch; lines that the database refuses are told apart from the others by halving.

        Raises:
            Unreachable: no answer, so that all or none of a part of the batch was applied.
            ConfigError: a table or column is not there, or not ours to write.
        """
        try:
            return self._applied(corrections)
        except _Refused as refusal:
            if len(corrections) == 1:
                return [Receipt(corrections[0].idempotency_key, Status.REJECTED, str(refusal))]
        half = len(corrections) // 2
        return [*self.send(corrections[:half]), *self.send(corrections[half:])]

    def observe(self, keys: Sequence[Key]) -> dict[Key, Decimal] | None:
        """The numbers of those keys that the table has once."""
        rows: dict[Key, list[_Row]] = {}
        with self._transaction() as connection:
            for start in range(0, len(keys), self.batch_size):
                rows |= self._rows(connection, keys[start : start + self.batch_size])
        return {key: found[0].shown for key, found in rows.items() if len(found) == 1 and found[0].shown is not None}

    def close(self) -> None:
        """Let go of connections."""
        self.engine.dispose()

    def _applied(self, corrections: Sequence[Correction]) -> list[Receipt]:
        keys = [(each.sku, each.location) for each in corrections]
        self._begin()
        with self._transaction() as connection:
            rows = self._rows(connection, keys, lock=True)
            known = self._known(connection, [each.idempotency_key for each in corrections])
            receipts, changes = [], []
            for correction, key in zip(corrections, keys, strict=True):
                receipt, after = _judged(correction, rows.get(key, []), known)
                receipts.append(receipt)
                if after is not None:
                    (row,) = rows[key]
                    changes.append((correction, row, after))
                    known.add(correction.idempotency_key)
                    rows[key] = [_Row(row.sku, row.location, after)]
            if changes:
                self._write(connection, changes)
                self._check(self._rows(connection, keys), {(c.sku, c.location): after for c, _, after in changes})
        return receipts

    def _begin(self) -> None:
        """Make the journal where there is none; another sender may be just as far."""
        if self.ready:
            return
        try:
            with self._transaction() as connection:
                self.journal.create(connection, checkfirst=True)
        except (ConfigError, Unreachable, _Refused):
            with self._transaction() as connection:
                if not sa.inspect(connection).has_table(self.journal.name, self.journal.schema):
                    raise
        self.ready = True

    def _rows(self, connection: sa.Connection, keys: Sequence[Key], *, lock: bool = False) -> dict[Key, list[_Row]]:
        """The rows of the table by (SKU, location); locked, their order is the same for everybody."""
        wanted = set(keys)
        # by lists of both, not of pairs, which a planner takes for hundreds of conditions
        skus, locations = (sorted(set(names)) for names in zip(*wanted, strict=True))
        query = sa.select(self.sku, self.location, self.quantity).where(
            self.sku.in_(_bound("skus", skus)), self.location.in_(_bound("locations", locations))
        )
        if lock:
            query = query.order_by(self.sku, self.location).with_for_update()
        rows: dict[Key, list[_Row]] = {}
        for found in connection.execute(query):
            row = _Row(*found)
            key = (str(row.sku).strip(), str(row.location).strip())
            if key in wanted:
                rows.setdefault(key, []).append(row)
        return rows

    def _known(self, connection: sa.Connection, keys: list[str]) -> set[str]:
        column = self.journal.c.idempotency_key
        return set(connection.scalars(sa.select(column).where(column.in_(keys))))

    def _write(self, connection: sa.Connection, changes: list[tuple[Correction, _Row, Decimal]]) -> None:
        """Update and note what was done. Raises `_Refused` where that is not one row a correction."""
        number = _number(connection)
        update = (
            sa.update(self.table)
            .where(self.sku == _bound("at_sku"), self.location == _bound("at_location"), self.quantity == _bound("was"))
            .values({self.quantity: _bound("becomes")})
        )
        done = connection.execute(
            update,
            [
                {"at_sku": row.sku, "at_location": row.location, "was": number(row.quantity), "becomes": number(after)}
                for _, row, after in changes
            ],
        )
        if done.rowcount not in (-1, len(changes)):
            raise _Refused(f"{done.rowcount} rows would change instead of {len(changes)}")
        now = datetime.now(UTC).replace(tzinfo=None)
        connection.execute(
            sa.insert(self.journal),
            [
                {
                    "idempotency_key": each.idempotency_key, "reference": each.reference, "sku": each.sku,
                    "location": each.location, "was": f"{row.shown:f}", "became": f"{after:f}", "applied_at": now,
                }
                for each, row, after in changes
            ],
        )  # fmt: skip

    def _check(self, rows: dict[Key, list[_Row]], wanted: dict[Key, Decimal]) -> None:
        """A column that rounds or clips is told, and nothing is left behind."""
        for key, after in wanted.items():
            shown = rows[key][0].shown if key in rows else None
            if shown != after:
                raise _Refused(f"the column would hold {shown} instead of {after.normalize():f}")

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """A transaction that ends in time; the driver's errors as one line each."""
        try:
            with self.engine.connect() as connection, in_time(connection, self.options.timeout), connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise self._explained(error) from error

    def _explained(self, error: SQLAlchemyError) -> Exception:
        cause: Any = getattr(error, "orig", None) or error
        text = self.address.line(cause.args[1] if len(cause.args) > 1 else cause)
        state = str(getattr(cause, "sqlstate", None) or "")
        code = cause.args[0] if cause.args else None
        if isinstance(error, DataError | IntegrityError) or state.startswith("P0") or code in _REFUSED_BY_MARIADB:
            return _Refused(text)
        missing = code in WRONG_QUERY or text.startswith(_MISSING_IN_SQLITE)
        kind = Unreachable if isinstance(error, Operational) and not missing else ConfigError
        return kind(f"{self.name}: {text}")


def _judged(correction: Correction, rows: list[_Row], known: set[str]) -> tuple[Receipt, Decimal | None]:
    """The receipt of a correction, and what its row becomes where it is applied."""

    def told(status: Status, message: str = "", observed: Decimal | None = None) -> tuple[Receipt, None]:
        return Receipt(correction.idempotency_key, status, message, observed), None

    if correction.idempotency_key in known:
        return told(Status.APPLIED, "applied before")
    if len(rows) != 1:
        count = f"{len(rows)} rows" if rows else "no row"
        return told(Status.REJECTED, f"{count} with SKU {correction.sku!r} at {correction.location!r}")
    shown = rows[0].shown
    if shown is None:
        return told(Status.REJECTED, "shows no number (null)")
    if correction.mode is Mode.DELTA:
        return Receipt(correction.idempotency_key, Status.APPLIED), shown + correction.delta
    if correction.mode is not Mode.SET or correction.change_from is None:
        return told(Status.REJECTED, "only a set with change_from, or a delta, is taken")
    if shown != correction.change_from:
        return told(
            Status.STALE, f"shows {shown.normalize():f} instead of {correction.change_from.normalize():f}", shown
        )
    return Receipt(correction.idempotency_key, Status.APPLIED), correction.value


def _table(name: str, columns: Iterable[str]) -> sa.Table:
    schema, _, table = name.rpartition(".")
    return sa.Table(table, sa.MetaData(), *(sa.Column(column) for column in columns), schema=schema or None)


def _journal(name: str) -> sa.Table:
    """What was applied: its key, where it came from, and what it did. Old rows may be deleted."""
    schema, _, table = name.rpartition(".")
    return sa.Table(
        table,
        sa.MetaData(),
        sa.Column("idempotency_key", sa.String(191), primary_key=True),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("sku", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("was", sa.String(40), nullable=False),
        sa.Column("became", sa.String(40), nullable=False),
        sa.Column("applied_at", sa.DateTime, nullable=False),
        schema=schema or None,
    )


def _bound(name: str, values: list[str] | None = None) -> sa.BindParameter[Any]:
    """A parameter without a type: the database takes it for what its column is."""
    return sa.bindparam(name, values, type_=sa.types.NullType(), expanding=values is not None)


def _number(connection: sa.Connection) -> Any:
    """How the driver takes a number: SQLite knows no decimals."""
    if connection.dialect.name != "sqlite":
        return lambda value: value
    return lambda value: (
        value if not isinstance(value, Decimal) else int(value) if value == value.to_integral() else float(value)
    )
