"""What every database offers the connector `sql`: an address to show, and a transaction to read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib import import_module
from typing import Annotated, Any, Protocol
from urllib.parse import quote, quote_plus

import pyarrow as pa
from pydantic import AfterValidator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from reconcilers.durations import format_duration
from reconcilers.errors import ConfigError

#: How long a server may take to answer a connection.
CONNECT_SECONDS = 10

#: The backend of a URL → the module that reads it; any other is read by `OTHER`.
BACKENDS = {
    "postgresql": "pipelines.connectors.sql_postgresql",
    "mysql": "pipelines.connectors.sql_mariadb",
    "mariadb": "pipelines.connectors.sql_mariadb",
    "sqlite": "pipelines.connectors.sql_sqlite",
}
OTHER = "pipelines.connectors.sql_other"

#: A statement that reads begins with one of these, after comments and brackets.
_READS = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values|table|from)\b", re.IGNORECASE | re.DOTALL)

_SECRET = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """A database URL that is never shown whole."""

    url: URL

    @staticmethod
    def parse(text: str) -> Address:
        """Raises `ConfigError` where `text` is no URL; the message does not repeat it."""
        try:
            return Address(make_url(text))
        except (ArgumentError, ValueError):
            raise ConfigError("url is not a database URL such as postgresql://user@host/database") from None

    @property
    def backend(self) -> str:
        """The kind of database, whatever its driver, such as `postgresql`."""
        return self.url.get_backend_name()

    @property
    def shown(self) -> str:
        """The URL without its driver and parameters, its password masked."""
        plain = self.url.set(drivername=self.backend, query={})
        return plain.render_as_string(hide_password=True)

    def line(self, message: object) -> str:
        """A driver's message as one short line with no secret of the URL in it."""
        text = " ".join(str(message).split())
        for secret in self._secrets():
            for spelling in {secret, quote(secret, safe=""), quote_plus(secret)}:
                text = text.replace(spelling, "***")
        return text[:300]

    def _secrets(self) -> Iterator[str]:
        if self.url.password:
            yield str(self.url.password)
        for name, values in self.url.normalized_query.items():
            if _SECRET.search(name):
                yield from values


def _url(text: str) -> str:
    try:
        Address.parse(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


DatabaseUrl = Annotated[str, AfterValidator(_url)]


@dataclass(frozen=True)
class Settings:
    """How a session behaves: where it is, its local time zone, how long a statement may take."""

    address: Address
    base: str
    timezone: str
    timeout: timedelta

    @property
    def too_long(self) -> str:
        """What is said of a statement that took longer."""
        return f"took longer than {format_duration(self.timeout)} (timeout)"


@dataclass(frozen=True)
class Relation:
    """What is read: a query, or a table by its name; of it the rows for which `where` is true."""

    query: str | None = None
    table: str | None = None
    where: str | None = None

    @property
    def select(self) -> str:
        """A statement that reads all of it."""
        if self.where is None and self.query is not None:
            return self.query.strip().rstrip(";").rstrip()
        return f"select * from {self.source}{self.clause}"

    @property
    def source(self) -> str:
        """What stands behind `from`, all rows of it."""
        return f"(\n{Relation(self.query).select}\n) as q" if self.table is None else self.table

    @property
    def clause(self) -> str:
        """What stands behind that."""
        return "" if self.where is None else f" where {self.where}"

    def narrowed(self, condition: str | None) -> Relation:
        """The rows of it for which a condition is true as well."""
        if condition is None:
            return self
        return replace(self, where=condition if self.where is None else f"({self.where}) and ({condition})")


@dataclass(frozen=True)
class Split:
    """A part of a relation, told apart by a condition, seen by the transaction that told `snapshot`."""

    number: int = 1
    of: int = 1
    where: str | None = None
    snapshot: str | None = None


class Session(Protocol):
    """One read-only transaction, at one instant of the server's clock.

    Errors are `ConfigError` where the query is wrong, `Unreachable` where the server is.
    """

    @property
    def as_of(self) -> datetime:
        """The instant: no later commit is seen."""
        ...

    def read(self, relation: Relation) -> Iterator[pa.Table]:
        """The rows as tables of bounded size, the first of which may be empty and has the columns."""
        ...

    def estimated_rows(self, relation: Relation) -> int:
        """About how many rows, found without reading them."""
        ...


def begin(settings: Settings, snapshot: str | None = None) -> AbstractContextManager[Session]:
    """A new transaction; with `snapshot`, one that sees what another one sees."""
    module = import_module(BACKENDS.get(settings.address.backend, OTHER))
    session: AbstractContextManager[Session] = module.session(settings, **({"snapshot": snapshot} if snapshot else {}))
    return session


def reads(query: str) -> bool:
    """Whether a statement looks like one that reads; whether it does is up to its transaction."""
    return _READS.match(query) is not None


def distinct(names: list[str]) -> list[str]:
    """The column names. Raises `ConfigError` where two are the same."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two columns are called {twice[0]!r}; give them names with `as`")
    return names


def first_value(session: Session, query: str) -> Any:
    """The first column of the first row of a query, as an array of one; None where it has no row."""
    for table in session.read(Relation(query)):
        if len(table):
            return table.column(0).combine_chunks().slice(0, 1)
    return None
