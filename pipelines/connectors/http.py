"""Connector `http`: JSON over REST and GraphQL, page by page, and JSON Lines of bulk exports.

A paged read takes time: each page is as of some instant between its request and its answer, and says so
in its rows. Pages are read by the process that planned them, so that a server is asked by one client only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from pipelines.connectors import Batch, Context, Plan, json_lines, json_parents
from pipelines.connectors.csv_text import with_origin
from pipelines.connectors.http_auth import Auth, Strict, Url
from pipelines.connectors.http_download import download
from pipelines.connectors.http_pages import Page, Pages, Paginate
from pipelines.connectors.http_records import Columns, finder
from pipelines.connectors.http_session import Limits, Reply, Request, Session
from pipelines.connectors.http_webhook import Sink, SinkOptions
from pipelines.connectors.option_values import Duration, Timeout
from reconcilers import parsing
from reconcilers.errors import ConfigError, Unreachable
from reconcilers.schemas import INSTANT, TEXT

__all__ = ["EXAMPLE", "SUMMARY", "Options", "Sink", "SinkOptions", "Source"]

SUMMARY = "JSON over REST or GraphQL, page by page, and JSON Lines exports; sends corrections as signed webhooks"

EXAMPLE = """\
stock:
  connector: http
  url: https://shop.example/api/v2/stock
  auth: {bearer: "${SHOP_TOKEN}"}
  paginate: {by: page, parameter: page, size: 250, size_parameter: per_page, total: meta.total, concurrency: 4}
  records: data.items
  fields: {sku: sku, location: warehouse.code, quantity: stock.available}
  profile: storefront.available
"""

_BATCH = 8_192

#: Raw columns with the instants between which a row was read.
_AS_OF, _AS_OF_HI = "@read_from", "@read_until"


class AsOf(Strict):
    """Where an answer says as of when it is."""

    origin: Literal["request", "header", "body", "column"] = Field("request", alias="from")
    header: str | None = None
    path: str | None = None
    column: str | None = None

    @model_validator(mode="after")
    def _needs(self) -> Self:
        needed = {"header": "header", "body": "path", "column": "column"}.get(self.origin)
        for name in ("header", "path", "column"):
            if (getattr(self, name) is None) == (name == needed):
                raise ValueError(f"as_of from {self.origin} {'needs' if name == needed else 'has no'} {name}")
        return self


class Watermark(Strict):
    """Up to when a feed is complete: so long before the first request."""

    lag: Duration


class Options(Strict):
    """What a dataset behind a URL says."""

    url: Url = Field(description="where it is, without credentials: https://…")
    params: dict[str, str] = Field({}, description="parameters of every request")
    headers: dict[str, str] = Field({}, description="headers of every request")
    auth: Auth | None = Field(
        None,
        description="{bearer: …}, {header: X-Api-Key, value: …}, {parameter: key, value: …} or {jwt: {key: …, "
        "algorithm: RS256, issuer: …, subject: …, audience: …, key_id: …, claims: {…}, lifetime: PT5M}}",
    )
    graphql: str | None = Field(None, description="a GraphQL query to post; page parameters are its variables")
    variables: dict[str, Any] = Field({}, description="graphql: other variables of the query")
    paginate: Paginate | None = Field(
        None,
        description="{by: page | offset | cursor | link}, with parameter, first, size, size_parameter, next (cursor: "
        "where the answer has it), total or total_header, and concurrency where a total is told",
    )
    format: Literal["json", "jsonl"] = Field("json", description="json, or jsonl for JSON Lines")
    parent: str | None = Field(
        None, description="jsonl: the field in which a line names its parent's id, such as __parentId"
    )
    records: str = Field("@", description="json: JMESPath of the list of records in an answer (the answer itself)")
    fields: dict[str, str] = Field(
        {}, description="raw column: JMESPath in a record (every field under its dotted name)"
    )
    as_of: AsOf = Field(
        AsOf.model_validate({"from": "request"}),
        description="{from: request}, {from: header, header: Date}, {from: body, path: meta.as_of} or "
        "{from: column, column: …}",
    )
    watermark: Watermark | None = Field(
        None, description="events: {lag: PT15M}, complete up to so long before the first request (PT0S)"
    )
    timeout: Timeout = Field(timedelta(seconds=30), description="how long one request may take")
    attempts: int = Field(6, ge=1, le=20, description="tries of a request that fails for a moment")
    patience: Duration = Field(timedelta(minutes=2), description="how long a server may ask to wait (Retry-After)")
    rate: float | None = Field(None, gt=0, description="requests a second, at most")

    @field_validator("records")
    @classmethod
    def _records(cls, expression: str) -> str:
        finder(expression)
        return expression

    @field_validator("fields")
    @classmethod
    def _fields(cls, fields: dict[str, str]) -> dict[str, str]:
        Columns(fields)
        return fields

    @field_validator("graphql")
    @classmethod
    def _reads(cls, query: str | None) -> str | None:
        if query is not None and not query.lstrip().startswith(("query", "{")):
            raise ValueError("graphql must only read: begin it with query or {")
        return query

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.format == "jsonl" and (self.paginate or self.graphql or self.records != "@"):
            raise ValueError("jsonl is one file: it has no paginate, graphql or records")
        if self.format == "json" and self.parent is not None:
            raise ValueError("parent belongs to jsonl")
        if self.format == "jsonl" and self.as_of.origin == "body":
            raise ValueError("jsonl has no body around its lines to tell as_of")
        if self.format == "jsonl" and self.fields and self.parent is None:
            raise ValueError("jsonl names nested fields with dots; map them in columns instead of fields")
        if self.variables and self.graphql is None:
            raise ValueError("variables belong to graphql")
        return self


@dataclass(frozen=True)
class Split:
    """The whole dataset: pages belong together."""


class Source:
    """One dataset of one server."""

    def __init__(self, options: Options, context: Context) -> None:
        self.options = options
        self.context = context
        self._first: Page | None = None
        self._began: datetime | None = None

    @property
    def name(self) -> str:
        """What the rows say that they come from."""
        return self.options.url.split("?")[0].split("#")[0]

    def plan(self, now: datetime) -> Plan:
        """Ask for the first page; what is there decides about the rest.

        Raises:
            Unreachable: no answer, refused credentials, an answer without records.
            ConfigError: an option that does not fit the dataset.
        """
        self._check()
        stock = self.context.dataset == "stock"
        began = datetime.now(UTC)
        rows = 0
        if self.options.format == "json":
            with self._session() as session:
                self._first = self._pages(session).first()
            rows = self._first.total or len(self._first.records)
        origin = self.options.as_of
        kind = {"request": "requested", "header": "answered", "body": "answered", "column": "event_time"}[origin.origin]
        return Plan(
            splits=(Split(),),
            as_of=None if stock else began,
            as_of_kind=kind,
            estimated_rows=rows,
            sources=(self._described(),),
            watermark=None if stock else began,
            as_of_column=None if not stock else origin.column or _AS_OF,
            as_of_hi_column=_AS_OF_HI if stock and origin.origin == "request" else None,
            local=True,
            clock=None if self._first is None else self._first.reply.clock,
        )

    def read(self, split: Split) -> Iterator[Batch]:
        """Read every page, or the file, as batches of raw rows.

        Raises:
            Unreachable: a page cannot be had, or the pages do not fit together.
        """
        with self._session() as session:
            self._began = datetime.now(UTC)
            if self.options.format == "json":
                yield from self._paged(session)
            else:
                with tempfile.TemporaryDirectory(prefix="recon-http-") as scratch:
                    yield from self._lines(session, Path(scratch))

    def settled(self, plan: Plan) -> Plan:
        """A feed is complete up to when reading it began, not up to when it was planned."""
        if self._began is None or self.context.dataset == "stock":
            return plan
        lag = self.options.watermark.lag if self.options.watermark else timedelta(0)
        return replace(plan, as_of=self._began, watermark=self._began - lag)

    def _check(self) -> None:
        if self.context.dataset == "stock" and self.options.watermark:
            raise ConfigError(f"{self.name}: watermark belongs to events, not to stock")
        if self.context.dataset != "stock" and self.options.as_of.origin != "request":
            raise ConfigError(f"{self.name}: as_of belongs to stock; events have posted_at")

    def _described(self) -> str:
        """The source, with the version of what it holds where the server tells one."""
        etag = None if self._first is None or self.options.paginate else self._first.reply.headers.get("etag")
        return self.name if etag is None else f"{self.name} (ETag {etag[:80]})"

    @contextmanager
    def _session(self) -> Iterator[Session]:
        given = self.options
        limits = Limits(given.timeout.total_seconds(), given.attempts, given.patience.total_seconds(), given.rate)
        # A key may hide in any header or parameter; what is too short for one would garble messages.
        hidden = [value for value in (*given.headers.values(), *given.params.values()) if len(value) >= 8]
        secrets = (*hidden, *(given.auth.secrets if given.auth else ()))
        session = Session(limits, given.auth.signer() if given.auth else None, given.headers, secrets)
        try:
            yield session
        finally:
            session.close()

    def _request(self) -> Request:
        given = self.options
        if given.graphql is None:
            return Request(given.url, given.params)
        body = {"query": given.graphql, "variables": given.variables}
        return Request(given.url, given.params, body, "POST")

    def _pages(self, session: Session) -> Pages:
        return Pages(session, self._request(), self.options.records, self.options.paginate)

    def _paged(self, session: Session) -> Iterator[Batch]:
        pages, columns = self._pages(session), Columns(self.options.fields)
        # Pages belong close together, so they begin anew; a single answer is as of when it came.
        whole = self._first is not None and self.options.paginate is None and self.context.dataset == "stock"
        first = self._first if self._first is not None and whole else pages.first()
        row = 1
        for table in _gathered(self._table(page, columns) for page in pages.all(first)):
            numbers = np.arange(row, row + len(table), dtype=np.int64)
            yield Batch(with_origin(table, self.name, pa.array(numbers)))
            row += len(table)

    def _table(self, page: Page, columns: Columns) -> pa.Table:
        try:
            return self._dated(columns.table(page.records), page.reply, page.body)
        except ValueError as error:
            raise Unreachable(f"{self.name}: page {page.number}: {error}") from error

    def _lines(self, session: Session, scratch: Path) -> Iterator[Batch]:
        path = scratch / "lines.jsonl"
        sent_at = datetime.now(UTC)
        headers = download(session, self._request(), path)
        reply = Reply(200, headers, b"", sent_at, datetime.now(UTC))
        if self.options.parent is None:
            with path.open("rb") as file:
                for batch in json_lines.read(file, self.name):
                    yield replace(batch, rows=self._dated(batch.rows, reply, None))
            return
        columns = Columns(self.options.fields)
        with json_parents.opened(scratch) as connection:
            json_parents.load(connection, [path], self.options.parent, self.name)
            for numbers, records in json_parents.children(connection):
                table = self._dated(columns.table(records), reply, None)
                yield Batch(with_origin(table, self.name, pa.array(numbers, pa.int64())))

    def _dated(self, table: pa.Table, reply: Reply, body: Any) -> pa.Table:
        """Rows of stock with the instants between which they were read, or the one that the server tells."""
        origin = self.options.as_of
        if self.context.dataset != "stock" or origin.origin == "column":
            return table
        if origin.origin == "request":
            instants = {_AS_OF: reply.sent_at, _AS_OF_HI: reply.received_at}
        else:
            instants = {_AS_OF: self._told(reply, body)}
        for name, instant in instants.items():
            table = table.append_column(name, pa.repeat(pa.scalar(instant, INSTANT), len(table)))
        return table

    def _told(self, reply: Reply, body: Any) -> datetime:
        origin = self.options.as_of
        if origin.origin == "header":
            place, found = f"header {origin.header}", reply.headers.get(str(origin.header))
        else:
            place, found = str(origin.path), finder(str(origin.path))(body)
        if not isinstance(found, str) or not found:
            raise Unreachable(f"{self.name}: as of when? nothing in {place}")
        return _instant(found, self.context.timezone, f"{self.name}: {place}")


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Small pages together: a batch costs as much for a hundred rows as for some thousand."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= _BATCH:
            yield pa.concat_tables(waiting, promote_options="default")
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting, promote_options="default")


def _instant(text: str, timezone: str, place: str) -> datetime:
    """The instant that RFC 3339, or the date of an HTTP header, means."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        pass
    parsed = parsing.instants(pa.array([text], TEXT), parsing.TimeFormat(timezone))
    if parsed.values.null_count:
        raise Unreachable(f"{place}: {text[:40]!r} is no instant")
    found: datetime = parsed.values[0].as_py()
    return found
