"""Connector `sql`: a query or table of PostgreSQL, MariaDB, MySQL, SQLite, or what SQLAlchemy reaches.

All datasets of one database are read in one read-only transaction, at one instant of its own clock:
an event is in the feed exactly if its effect is in the stock. `sql_session` says what a database
offers, a module each says how.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.connectors import Batch, Context, Plan
from pipelines.connectors.csv_text import with_origin
from pipelines.connectors.option_values import Duration, Timeout, Watermark
from pipelines.connectors.sql_session import (
    Address,
    DatabaseUrl,
    Relation,
    Session,
    Settings,
    Split,
    begin,
    first_value,
    reads,
)
from pipelines.connectors.sql_sink import Sink, SinkOptions
from reconcilers import parsing
from reconcilers.errors import ConfigError, ReconError, Unreachable

SUMMARY = "PostgreSQL (Arrow, parallel), MariaDB, MySQL, SQLite and other databases: a query or a table"

EXAMPLE = """\
stock:
  connector: sql
  url: ${ERP_URL}                      # such as postgresql://recon:secret@db.example/erp
  query: select item_no, whse, qty_oh from item_stock
  profile: erp.on_hand
  columns: {sku: item_no, location: whse, quantity: qty_oh}
"""

__all__ = ["EXAMPLE", "SUMMARY", "Options", "Sink", "SinkOptions", "Source"]

#: How far a server's clock may be ahead of when the run began.
_AHEAD = timedelta(minutes=5)


class Partition(BaseModel):
    """Ranges of a column that are read side by side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    splits: int = Field(ge=2, le=64)


class AsOf(BaseModel):
    """A column that says as of when each row is."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    origin: Literal["column"] = Field("column", alias="from")
    column: str


class Window(BaseModel):
    """How far back a feed is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    look_back: Duration

    def condition(self, as_of: datetime) -> str:
        """The rows since the day before: a date is compared alike in every database, zone and way to write it.

        What has no instant is read, to be told as a reject.
        """
        first = (as_of - self.look_back - timedelta(days=1)).date()
        return f"{self.column} >= '{first.isoformat()}' or {self.column} is null"


class Options(BaseModel):
    """What a dataset in a database says."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: DatabaseUrl = Field(
        repr=False, description="an SQLAlchemy URL, such as postgresql://user:${PASSWORD}@host/database"
    )
    query: str | None = Field(None, min_length=1, description="what to read; either this or table")
    table: str | None = Field(None, min_length=1, description="a table or view, as SQL writes its name")
    partition: Partition | None = Field(
        None, description="PostgreSQL: {column: …, splits: 4} reads ranges of the column side by side"
    )
    as_of: AsOf | None = Field(
        None, description="stock: {from: column, column: …}; the transaction's own instant if not given"
    )
    watermark: Watermark | None = Field(
        None, description="events: {lag: PT15M}, {query: …} or both; the transaction's own instant if not given"
    )
    window: Window | None = Field(
        None, description="events: {column: posted_at, look_back: P30D} reads at least so far back; all if not given"
    )
    timeout: Timeout = Field(timedelta(hours=1), description="how long one statement may take")
    throttle: int | None = Field(None, ge=1, description="rows a second, at most, over all splits")

    @model_validator(mode="after")
    def _one_relation(self) -> Self:
        if (self.query is None) == (self.table is None):
            raise ValueError("needs either query or table")
        if self.query is not None and not reads(self.query):
            raise ValueError("query must only read: begin it with select or with")
        return self


class Source:
    """One query or table of one database."""

    def __init__(self, options: Options, context: Context) -> None:
        self.options = options
        self.context = context
        self.address = Address.parse(options.url)
        self.relation = Relation(options.query, options.table)

    @property
    def name(self) -> str:
        """What the rows say that they come from."""
        return f"{self.address.shown}: {self.options.table or 'query'}"

    def plan(self, now: datetime) -> Plan:
        """Begin the transaction, or share the one that another dataset of the database began.

        Raises:
            Unreachable: no connection, no permission, no answer in time, a clock that is far ahead.
            ConfigError: the query or an option is wrong.
        """
        with self._session() as session:
            if session.as_of > now + _AHEAD:
                raise Unreachable(
                    f"the server's clock says {session.as_of.isoformat()}, which is in the future "
                    f"(it is {now.isoformat()})"
                )
            by_row = self.options.as_of
            relation = self._within(session.as_of)
            return Plan(
                splits=self._splits(session, relation),
                as_of=None if by_row else session.as_of,
                as_of_kind="event_time" if by_row else "transaction",
                estimated_rows=session.estimated_rows(relation),
                sources=(self.name,),
                watermark=None if self.context.dataset == "stock" else self._watermark(session),
                as_of_column=by_row.column if by_row else None,
                local=self.address.backend != "postgresql",
                clock=session.as_of,
            )

    def read(self, split: Split) -> Iterator[Batch]:
        """Read a split as batches of raw rows, numbered from 1 in each split."""
        name = self.name if split.of == 1 else f"{self.name}, split {split.number} of {split.of}"
        began, row = time.monotonic(), 1
        with self._session(split.snapshot) as session:
            for table in session.read(self.relation.narrowed(split.where)):
                numbers = np.arange(row, row + len(table), dtype=np.int64)
                yield Batch(with_origin(table, name, pa.array(numbers)))
                row += len(table)
                if self.options.throttle is not None:
                    due = (row - 1) * split.of / self.options.throttle
                    time.sleep(max(0, due - (time.monotonic() - began)))

    def _check(self) -> None:
        """Options that fit neither this dataset nor this database."""
        if self.options.partition and self.address.backend != "postgresql":
            raise ConfigError("only PostgreSQL shares an instant between connections; leave partition out")
        if self.context.dataset == "stock" and self.options.watermark:
            raise ConfigError("watermark belongs to events, not to stock")
        if self.context.dataset == "stock" and self.options.window:
            raise ConfigError("window belongs to events; stock is read whole")
        if self.context.dataset != "stock" and self.options.as_of:
            raise ConfigError("as_of from a column belongs to stock; events have posted_at")

    @contextmanager
    def _session(self, snapshot: str | None = None) -> Iterator[Session]:
        """The transaction that the capture holds for this database, or one of its own."""
        settings = Settings(self.address, self.context.base, self.context.timezone, self.options.timeout)
        try:
            self._check()
            if self.context.held is not None:
                yield self.context.held.enter(self.options.url, lambda: begin(settings))
            else:
                with begin(settings, snapshot) as session:
                    yield session
        except ReconError as error:
            raise type(error)(f"{self.name}: {error}") from error

    def _within(self, as_of: datetime) -> Relation:
        """What is read: all rows, or those since the look-back."""
        window = self.options.window
        return self.relation if window is None else self.relation.narrowed(window.condition(as_of))

    def _splits(self, session: Session, relation: Relation) -> tuple[Split, ...]:
        from pipelines.connectors import sql_postgresql

        if not isinstance(session, sql_postgresql.Session):
            return (Split(where=relation.where),)
        snapshot = session.exported if self.context.held is not None else None
        if self.options.partition is None or snapshot is None:
            return (Split(where=relation.where, snapshot=snapshot),)
        return session.splits(relation, self.options.partition.column, self.options.partition.splits)

    def _watermark(self, session: Session) -> datetime:
        """Up to when the feed is complete (DOMAIN 2.7).

        Rows that were not committed yet are in neither the feed nor the stock of the same
        transaction, so the default is its instant. Where another process writes the feed later
        than the stock, `lag` or a query says how far it has come.
        """
        given = self.options.watermark
        latest = session.as_of - ((given and given.lag) or timedelta(0))
        if given is None or given.query is None:
            return latest
        value = first_value(session, given.query)
        parsed = None if value is None else parsing.instants(value, parsing.TimeFormat(self.context.timezone))
        if parsed is None or parsed.values.null_count:
            raise Unreachable("the watermark's query gives no instant")
        instant: datetime = parsed.values[0].as_py()
        return min(instant, latest)
