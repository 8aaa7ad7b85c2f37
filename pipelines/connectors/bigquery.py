"""Connector `bigquery`: a table, or what a query finds, by the Storage Read API in Arrow.

All datasets of one project are read at one instant of BigQuery's own clock: a table by time travel, a
query where it says `for system_time as of @as_of`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, Self
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.connectors import Batch, Context, Plan
from pipelines.connectors.ahead import Silence, ahead
from pipelines.connectors.bigquery_client import Place, Warehouse, told
from pipelines.connectors.bigquery_sink import Sink, SinkOptions
from pipelines.connectors.csv_text import with_origin
from pipelines.connectors.option_values import Watermark
from reconcilers import parsing
from reconcilers.errors import ConfigError, Unreachable

__all__ = ["EXAMPLE", "SUMMARY", "Options", "Sink", "SinkOptions", "Source"]

SUMMARY = "BigQuery by the Storage Read API: a table or a query, in parallel Arrow streams"

EXAMPLE = """\
stock:
  connector: bigquery
  project: shop-analytics
  location: EU
  query: select sku, store, units, loaded_at from erp.stock for system_time as of @as_of
  as_of: {from: column, column: loaded_at}     # when the ERP's numbers were exported
  profile: erp.on_hand
  columns: {location: store, quantity: units}
"""

#: How far BigQuery's clock may be ahead of when the run began.
_AHEAD = timedelta(minutes=5)

#: Rows that are passed on together; the service sends fewer at a time.
_ROWS = 50_000

#: How long a stream may say nothing.
_SILENCE_SECONDS = 120


class AsOf(BaseModel):
    """As of when the numbers are that were loaded: a column says it, or a query."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    origin: Literal["column", "query"] = Field("column", alias="from")
    column: str | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _said(self) -> Self:
        if (self.column is None) == (self.query is None) or getattr(self, self.origin) is None:
            raise ValueError(f"as_of from {self.origin} needs {self.origin}, and nothing else")
        return self


class Options(Place):
    """What a dataset in BigQuery says."""

    table: str | None = Field(None, pattern=r"^(?:[a-z][a-z0-9.:-]*\.)?\w+\.[\w-]+$", description="dataset.table")
    query: str | None = Field(None, min_length=1, description="what to read; either this or table")
    fields: tuple[str, ...] = Field((), description="the columns of the table to read, and to pay for; all")
    filter: str | None = Field(None, description="a condition on the rows of the table, as in where")
    scratch: str | None = Field(
        None, pattern=r"^\w+$", description="a dataset for what queries find, for a day; anonymous tables"
    )
    streams: int = Field(4, ge=1, le=100, description="how many streams are read side by side, at most")
    as_of: AsOf | None = Field(
        None, description="stock: {from: column, column: …} or {from: query, query: …}; when it was read"
    )
    watermark: Watermark | None = Field(
        None, description="events: {lag: PT15M}, {query: …} or both; when it was read if not given"
    )

    @model_validator(mode="after")
    def _one_relation(self) -> Self:
        if (self.query is None) == (self.table is None):
            raise ValueError("needs either query or table")
        if self.query is not None and (self.fields or self.filter):
            raise ValueError("fields and filter belong to a table; the query says it itself")
        return self


@dataclass(frozen=True)
class Split:
    """A stream of a read session, and the Arrow schema of its rows; no stream where there are none."""

    number: int
    of: int
    stream: str | None
    schema: bytes


class Source:
    """One table or query of one project."""

    def __init__(self, options: Options, context: Context) -> None:
        self.options = options
        self.context = context

    @property
    def name(self) -> str:
        """What the rows say that they come from."""
        return f"bigquery://{self.options.project}: {self.options.table or 'query'}"

    def plan(self, now: datetime) -> Plan:
        """Open a read session at one instant.

        Raises:
            Unreachable: no credentials, no permission, no answer in time, a clock that is far ahead.
            ConfigError: the table, the query or an option is wrong.
        """
        with told(self.name):
            self._check()
            instant = self._warehouse.instant
            if instant > now + _AHEAD:
                raise Unreachable(f"its clock says {instant.isoformat()}, in the future (it is {now.isoformat()})")
            path, read_at, rows = self._relation()
            session = self._session(path, read_at if self.options.table else None)
            given = self.options.as_of
            by_row = given.column if given else None
            as_of = self._instant_of(given.query, "as_of") if given and given.query else read_at
            return Plan(
                splits=_splits(session),
                as_of=None if by_row else as_of,
                as_of_kind="event_time" if by_row else "query" if given else "transaction",
                estimated_rows=max(rows, session.estimated_row_count),
                sources=(self.name,),
                watermark=None if self.context.dataset == "stock" else self._watermark(),
                as_of_column=by_row,
                clock=instant,
            )

    def read(self, split: Split) -> Iterator[Batch]:
        """Read a stream as batches of raw rows, numbered from 1 in each."""
        name = self.name if split.of == 1 else f"{self.name}, stream {split.number} of {split.of}"
        row = 1
        with told(self.name):
            try:
                with closing(ahead(self._batches(split), _SILENCE_SECONDS)) as tables:
                    for table in tables:
                        numbers = np.arange(row, row + len(table), dtype=np.int64)
                        yield Batch(with_origin(table, name, pa.array(numbers)))
                        row += len(table)
            except Silence:
                raise Unreachable(f"no answer for {_SILENCE_SECONDS} s") from None
            finally:
                if self.context.held is None:
                    self._warehouse.close()

    @cached_property
    def _warehouse(self) -> Warehouse:
        """The clients and the instant that the datasets of one capture share."""
        place = self.options.place
        if self.context.held is None:
            return Warehouse(place)
        return self.context.held.enter(("bigquery", place), lambda: _opened(place))

    def _check(self) -> None:
        if self.context.dataset == "stock" and self.options.watermark:
            raise ConfigError("watermark belongs to events, not to stock")
        if self.context.dataset != "stock" and self.options.as_of:
            raise ConfigError("as_of belongs to stock; events have posted_at")

    def _relation(self) -> tuple[str, datetime, int]:
        """The path of the table to read, the instant that it shows, and about how many rows it has."""
        from google.cloud.bigquery import TableReference

        warehouse = self._warehouse
        if self.options.table is not None:
            reference = TableReference.from_string(self.options.table, self.options.project)
            table = warehouse.client.get_table(reference, **warehouse.bounds)
            if table.table_type != "TABLE":
                raise ConfigError(f"is a {table.table_type.lower()}; read it with query: select … from …")
            return table.path.lstrip("/"), warehouse.instant, table.num_rows or 0
        job, path = self._found(self._bound(str(self.options.query)))
        read_at = warehouse.instant if "@as_of" in str(self.options.query) else job.started
        return path, read_at, job.result(max_results=1, **warehouse.bounds).total_rows or 0

    def _found(self, query: str) -> tuple[Any, str]:
        """The finished job of a query, and the path of the table with its rows: anonymous, or in `scratch`."""
        if self.options.scratch is None:
            job = self._warehouse.run(query, use_query_cache=False)
            return job, job.destination.path.lstrip("/")
        project, dataset, table = self.options.project, self.options.scratch, f"recon_{uuid4().hex}"
        expires = self._warehouse.instant + timedelta(days=1)
        job = self._warehouse.run(
            f"create table `{project}.{dataset}.{table}`"
            f" options (expiration_timestamp = timestamp '{expires.isoformat()}') as\n{query}"
        )
        return job, f"projects/{project}/datasets/{dataset}/tables/{table}"

    def _bound(self, query: str) -> str:
        """The query with its `@as_of`, which time travel takes as a literal only."""
        return re.sub(r"@as_of\b", f"timestamp '{self._warehouse.instant.isoformat()}'", query)

    def _session(self, path: str, snapshot: datetime | None) -> Any:
        asked: dict[str, Any] = {"table": path, "data_format": "ARROW"}
        if snapshot is not None:
            asked["table_modifiers"] = {"snapshot_time": snapshot}
        reading: dict[str, Any] = {"selected_fields": list(self.options.fields)}
        if self.options.filter is not None:
            reading["row_restriction"] = self.options.filter
        return self._warehouse.reader.create_read_session(
            request={
                "parent": f"projects/{self.options.project}",
                "read_session": {**asked, "read_options": reading},
                "max_stream_count": self.options.streams,
            },
            **self._warehouse.stream_bounds,
        )

    def _batches(self, split: Split) -> Generator[pa.Table]:
        """The rows of a stream, some messages at a time; the first table is empty and has the columns."""
        schema = pa.ipc.read_schema(pa.py_buffer(split.schema))
        yield _plain(schema.empty_table())
        if split.stream is None:
            return
        pending: list[pa.RecordBatch] = []
        for message in self._warehouse.reader.read_rows(split.stream, **self._stream_bounds()):
            data = message.arrow_record_batch.serialized_record_batch
            pending.append(pa.ipc.read_record_batch(pa.py_buffer(data), schema))
            if sum(batch.num_rows for batch in pending) >= _ROWS:
                yield _plain(pa.Table.from_batches(pending))
                pending = []
        if pending:
            yield _plain(pa.Table.from_batches(pending))

    def _stream_bounds(self) -> dict[str, Any]:
        """A stream may take as long as it takes; what bounds it is silence."""
        return {**self._warehouse.stream_bounds, "timeout": self.options.timeout.total_seconds()}

    def _watermark(self) -> datetime:
        """Up to when the feed is complete: when it was read, less the lag, or what a query says."""
        given, instant = self.options.watermark, self._warehouse.instant
        latest = instant - ((given and given.lag) or timedelta(0))
        if given is None or given.query is None:
            return latest
        return min(self._instant_of(given.query, "watermark"), latest)

    def _instant_of(self, query: str, what: str) -> datetime:
        """The instant that a query gives; local times are those of the dataset."""
        rows = list(self._warehouse.run(self._bound(query)).result(max_results=1, **self._warehouse.bounds))
        value = rows[0][0] if rows else None
        if value is None:
            raise Unreachable(f"the query of {what} gives no instant")
        parsed = parsing.instants(pa.array([value]), parsing.TimeFormat(self.context.timezone))
        if parsed.values.null_count:
            raise Unreachable(f"the query of {what} gives no instant")
        instant: datetime = parsed.values[0].as_py()
        return instant


@contextmanager
def _opened(place: Place) -> Iterator[Warehouse]:
    warehouse = Warehouse(place)
    try:
        yield warehouse
    finally:
        warehouse.close()


def _splits(session: Any) -> tuple[Split, ...]:
    """One split a stream; one without a stream where there are no rows, for the sake of its columns."""
    schema = bytes(session.arrow_schema.serialized_schema)
    names = [stream.name for stream in session.streams] or [None]
    return tuple(Split(number, len(names), name, schema) for number, name in enumerate(names, 1))


def _plain(table: pa.Table) -> pa.Table:
    """Structures as columns such as `variant.sku`; wide numbers as text; lists and bytes left out."""
    table = table.replace_schema_metadata()
    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            continue
        text = pa.types.is_decimal256(column.type) or pa.types.is_time(column.type)
        columns[name] = column.cast(pa.string()) if text else column
    return pa.table(columns)
