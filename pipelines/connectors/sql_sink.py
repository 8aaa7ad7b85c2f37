"""Sink `sql`: corrections into a table, each exactly once.

A batch is one transaction: the rows are locked and read, what still shows what the correction expects
is updated, what was written is read back, and the keys go into a journal. Whoever sends a key again
finds it there. Without an answer everything or nothing has happened, and sending again is safe.

SKUs and locations are taken as they come: turning a canonical SKU into the one that the table knows is
the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
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
from pipelines.connectors.sql_target import Change, Key, Refused, Row, Target
from pipelines.connectors.sql_target_postgresql import PostgresqlTarget
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


class Sink:
    """A table that takes corrections by compare-and-set, or as deltas."""

    modes = frozenset({Mode.SET, Mode.DELTA})
    batch_size = 1000

    def __init__(self, options: SinkOptions, context: Context) -> None:
        self.options = options
        self.address = Address.parse(options.url)
        self.engine = engine(self.address, context.base, options.timeout)
        kind = PostgresqlTarget if self.address.backend == "postgresql" else Target
        self.target = kind(options.table, tuple(options.columns.model_dump().values()), options.journal)
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
        except Refused as refusal:
            if len(corrections) == 1:
                return [Receipt(corrections[0].idempotency_key, Status.REJECTED, str(refusal))]
        half = len(corrections) // 2
        return [*self.send(corrections[:half]), *self.send(corrections[half:])]

    def observe(self, keys: Sequence[Key]) -> dict[Key, Decimal] | None:
        """The numbers of those keys that the table has once."""
        rows: dict[Key, list[Row]] = {}
        with self._transaction() as connection:
            for start in range(0, len(keys), self.batch_size):
                rows |= self.target.rows(connection, keys[start : start + self.batch_size])
        return {key: found[0].shown for key, found in rows.items() if len(found) == 1 and found[0].shown is not None}

    def close(self) -> None:
        """Let go of connections."""
        self.engine.dispose()

    def _applied(self, corrections: Sequence[Correction]) -> list[Receipt]:
        keys = [(each.sku, each.location) for each in corrections]
        self._begin()
        with self._transaction() as connection:
            rows = self.target.rows(connection, keys, lock=True)
            known = self.target.known(connection, [each.idempotency_key for each in corrections])
            receipts, changes = [], []
            for correction, key in zip(corrections, keys, strict=True):
                receipt, after = _judged(correction, rows.get(key, []), known)
                receipts.append(receipt)
                if after is not None:
                    (row,) = rows[key]
                    changes.append(Change(correction, row, after))
                    known.add(correction.idempotency_key)
                    rows[key] = [Row(row.sku, row.location, after)]
            if changes:
                self.target.write(connection, changes)
        return receipts

    def _begin(self) -> None:
        """Make the journal where there is none; another sender may be just as far."""
        if self.ready:
            return
        try:
            with self._transaction() as connection:
                self.target.journal.create(connection, checkfirst=True)
        except (ConfigError, Unreachable, Refused):
            with self._transaction() as connection:
                if not sa.inspect(connection).has_table(self.target.journal.name, self.target.journal.schema):
                    raise
        self.ready = True

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """A transaction that ends in time; the driver's errors as one line each."""
        try:
            with self.engine.connect() as connection, in_time(connection, self.options.timeout), connection.begin():
                yield connection
        except ConfigError as error:
            raise ConfigError(f"{self.name}: {error}") from error
        except SQLAlchemyError as error:
            raise self._explained(error) from error

    def _explained(self, error: SQLAlchemyError) -> Exception:
        cause: Any = getattr(error, "orig", None) or error
        text = self.address.line(cause.args[1] if len(cause.args) > 1 else cause)
        state = str(getattr(cause, "sqlstate", None) or "")
        code = cause.args[0] if cause.args else None
        if isinstance(error, DataError | IntegrityError) or state.startswith("P0") or code in _REFUSED_BY_MARIADB:
            return Refused(text)
        missing = code in WRONG_QUERY or text.startswith(_MISSING_IN_SQLITE)
        kind = Unreachable if isinstance(error, Operational) and not missing else ConfigError
        return kind(f"{self.name}: {text}")


def _judged(correction: Correction, rows: list[Row], known: set[str]) -> tuple[Receipt, Decimal | None]:
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
