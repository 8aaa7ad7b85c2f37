"""Any other database that SQLAlchemy has a dialect for: one statement in a transaction that is rolled back.

What one statement sees is what that database promises; its as-of is this machine's clock before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from sqlalchemy.exc import NoSuchModuleError

from pipelines.connectors import sql_rows
from pipelines.connectors.sql_session import Relation, Settings
from reconcilers.errors import ConfigError, Unreachable

#: Not known without reading: a bucket or two.
_ROWS = 1_000_000


@contextmanager
def session(settings: Settings) -> Iterator[Session]:
    """Connect through the dialect's own driver; whatever was done is rolled back."""
    address = settings.address
    try:
        dialect = address.url.get_dialect()()
        driver: Any = address.url.get_dialect().import_dbapi()
    except NoSuchModuleError as error:
        raise ConfigError(f"SQLAlchemy knows no database {address.url.drivername!r}") from error
    except ModuleNotFoundError as error:
        raise ConfigError(f"its driver is not installed: pip install {error.name}") from error
    positional, named = dialect.create_connect_args(address.url)
    try:
        connection = driver.connect(*positional, **named)
    except (driver.Error, OSError) as error:
        raise Unreachable(address.line(error)) from error
    with closing(connection):
        yield Session(settings, connection, driver, datetime.now(UTC))
        with suppress(driver.Error):
            connection.rollback()


@dataclass
class Session:
    """A connection whose work is never committed."""

    settings: Settings
    connection: Any
    driver: Any
    as_of: datetime

    def read(self, relation: Relation) -> Iterator[pa.Table]:
        """Read a table at a time."""
        with self._told(), closing(self.connection.cursor()) as cursor:
            cursor.execute(relation.select)
            yield from sql_rows.tables(cursor)

    def estimated_rows(self, relation: Relation) -> int:
        """A guess, which only decides the number of buckets."""
        return _ROWS

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The driver's errors as one line each."""
        try:
            yield
        except self.driver.ProgrammingError as error:
            raise ConfigError(self.settings.address.line(error)) from error
        except (self.driver.Error, OSError) as error:
            raise Unreachable(self.settings.address.line(error)) from error
