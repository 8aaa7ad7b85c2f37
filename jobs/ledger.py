"""The ledger: an index of the runs, who may run what now, and which fires of a schedule are settled.

The directories of the runs are the truth (`jobs.run_state`), the ledger is their index: it can be lost
and is made again from them. Only leases are its own. It is a SQLite file in the workspace, or any
database that SQLAlchemy knows by URL, brought to the newest schema when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import stamina
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from jobs.config import Config
from pipelines import filesystem
from pipelines.connectors.sql_session import CONNECT_SECONDS, Address
from reconcilers.errors import ConfigError, Unreachable

T = TypeVar("T")

#: The revision in `jobs/migrations/versions` that this version works with.
HEAD = "0001"

#: How long to go on trying while the server of a ledger does not answer, in seconds.
PATIENCE = 20.0


class Utc(sa.types.TypeDecorator[datetime]):
    """An instant: UTC going in, UTC coming out, whatever the database keeps."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """To UTC, without an offset where the database knows none."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Back to UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData()

runs = sa.Table(
    "recon_runs",
    metadata,
    sa.Column("run_id", sa.String(200), primary_key=True),
    sa.Column("job", sa.String(200)),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("step", sa.String(40)),
    sa.Column("error", sa.Text),
    sa.Column("fire", Utc),
    sa.Column("started_at", Utc, nullable=False),
    sa.Column("finished_at", Utc),
    sa.Column("verdict", sa.Text),
    sa.Column("keys", sa.BigInteger),
    sa.Column("faults", sa.BigInteger),
)

#: One row a thing that only one process may work on: a job, a pair.
leases = sa.Table(
    "recon_leases",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("holder", sa.String(400)),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("beat_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
)

#: One row an instant at which a schedule called for a run of a job: the key keeps it from running twice.
fires = sa.Table(
    "recon_fires",
    metadata,
    sa.Column("job", sa.String(200), primary_key=True),
    sa.Column("fire", Utc, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("run_id", sa.String(200)),
    sa.Column("note", sa.Text),
    sa.Column("at", Utc, nullable=False),
)


@dataclass(frozen=True)
class Ledger:
    """An open ledger. `shared` says whether other processes see it."""

    engine: Engine
    address: Address
    shared: bool
    patience: float

    def act(self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction; again, where the server went away.

        Raises:
            Unreachable: the database does not answer for longer than `patience`, or refuses.
        """

        def transient(error: Exception) -> bool:
            lost = isinstance(error, DBAPIError) and error.connection_invalidated
            away = isinstance(error, OperationalError) and self.engine.dialect.name != "sqlite"
            return lost or away

        try:
            for attempt in stamina.retry_context(on=transient, attempts=None, timeout=self.patience, wait_max=2.0):
                with attempt, self.engine.begin() as connection:
                    return work(connection)
        except SQLAlchemyError as error:
            raise Unreachable(f"ledger {self.address.shown}: {self._line(error)}") from error
        raise AssertionError("a retry ends with a result or an error")

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    def _line(self, error: SQLAlchemyError) -> str:
        return self.address.line(getattr(error, "orig", None) or error)


def open_ledger(config: Config) -> Ledger:
    """The ledger of a configuration, with the newest schema.

    A workspace in a bucket has no place for a SQLite file: without `ledger`, its runs have an index of
    their own in memory, and nothing keeps two of them apart (`shared` is False).

    Raises:
        ConfigError: no such kind of database, or a ledger of a newer version of recon.
        Unreachable: the database does not answer.
    """
    url, shared = config.ledger, True
    if url is None and filesystem.is_remote(str(config.workspace)):
        url, shared = "sqlite://", False
    elif url is None:
        url = f"sqlite:///{Path(str(config.workspace)) / 'ledger.sqlite'}"
        filesystem.makedirs(str(config.workspace))
    address = Address.parse(url)
    ledger = Ledger(_engine(address), address, shared, PATIENCE)
    ledger.act(_migrated)
    return ledger


def _engine(address: Address) -> Engine:
    url = address.url
    try:
        if address.backend == "sqlite":
            memory = not url.database
            pool = {"poolclass": sa.StaticPool} if memory else {}
            made = sa.create_engine(url, connect_args={"timeout": 30, "check_same_thread": False}, **pool)
            event.listen(made, "connect", _manual)
            event.listen(made, "begin", _immediate)
            return made
        if address.backend == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS})
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(f"ledger: no driver for {address.backend!r}; SQLite and PostgreSQL are built in") from error


def _manual(connection: Any, _: Any) -> None:
    """Python's own idea of when a transaction begins is not SQLite's."""
    connection.isolation_level = None


def _immediate(connection: Connection) -> None:
    """Take the write lock first: two readers that both want to write would lock each other out."""
    connection.exec_driver_sql("begin immediate")


def _migrated(connection: Connection) -> None:
    """Bring the schema to `HEAD`; two processes that open a new ledger do it one after the other."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("select pg_advisory_xact_lock(7233010)"))
    there = sa.inspect(connection).has_table("recon_ledger")
    found = connection.execute(sa.text("select version_num from recon_ledger")).scalar() if there else None
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise ConfigError(f"the ledger is of revision {found}, this version of recon knows {HEAD}; upgrade recon")
    # Alembic takes a while to import: only where there is something to do.
    from alembic import command
    from alembic.config import Config as Alembic

    settings = Alembic()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
