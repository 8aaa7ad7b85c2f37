"""The table that takes corrections, and the journal of those that it has: how they are read and written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from reconcilers.corrections import Correction

Key = tuple[str, str]


class Refused(Exception):
    """The database, or the sink itself, will not have what is written."""


@dataclass(frozen=True)
class Row:
    """A row of the table: its key as the table has it, and its number as the driver gives it."""

    sku: Any
    location: Any
    quantity: Any

    @property
    def shown(self) -> Decimal | None:
        """The number as an exact decimal; None where it is null."""
        return None if self.quantity is None else Decimal(str(self.quantity))


@dataclass(frozen=True)
class Change:
    """What a correction makes of a row."""

    correction: Correction
    row: Row
    after: Decimal

    @property
    def key(self) -> Key:
        """SKU and location, as corrections have them."""
        return self.correction.sku, self.correction.location


class Target:
    """A table of SKU, location and quantity (`columns`, in that order), in any database that SQLAlchemy knows."""

    def __init__(self, table: str, columns: tuple[str, str, str], journal: str) -> None:
        self.table = _table(table, columns)
        self.sku, self.location, self.quantity = (self.table.c[name] for name in columns)
        self.journal = _journal(journal)

    def rows(self, connection: sa.Connection, keys: Sequence[Key], *, lock: bool = False) -> dict[Key, list[Row]]:
        """The rows of the table by (SKU, location); locked, their order is the same for everybody."""
        wanted = set(keys)
        # by lists of both, not of pairs, which a planner takes for hundreds of conditions
        skus, locations = (sorted(set(names)) for names in zip(*wanted, strict=True))
        query = sa.select(self.sku, self.location, self.quantity).where(
            self.sku.in_(_bound("skus", skus)), self.location.in_(_bound("locations", locations))
        )
        if lock:
            query = query.order_by(self.sku, self.location).with_for_update()
        return by_key((Row(*found) for found in connection.execute(query)), wanted)

    def known(self, connection: sa.Connection, keys: list[str]) -> set[str]:
        """Those of the idempotency keys that the journal has."""
        column = self.journal.c.idempotency_key
        return set(connection.scalars(sa.select(column).where(column.in_(keys))))

    def write(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        """Update rows one after another, note what was done, and read it back.

        Raises:
            Refused: that is not one row a correction, or a row does not show what was written.
        """
        number = _number(connection)
        update = (
            sa.update(self.table)
            .where(self.sku == _bound("at_sku"), self.location == _bound("at_location"), self.quantity == _bound("was"))
            .values({self.quantity: _bound("becomes")})
        )
        done = connection.execute(
            update,
            [
                {
                    "at_sku": each.row.sku, "at_location": each.row.location,
                    "was": number(each.row.quantity), "becomes": number(each.after),
                }
                for each in changes
            ],
        )  # fmt: skip
        if done.rowcount not in (-1, len(changes)):
            raise Refused(f"{done.rowcount} rows would change instead of {len(changes)}")
        now = datetime.now(UTC).replace(tzinfo=None)
        connection.execute(sa.insert(self.journal), [_noted(each, now) for each in changes])
        rows = self.rows(connection, [each.key for each in changes])
        for change in {each.key: each for each in changes}.values():
            shown = rows[change.key][0].shown if change.key in rows else None
            if shown != change.after:
                raise rounded(shown, change.after)


def rounded(shown: object, wanted: Decimal) -> Refused:
    """A column that rounds or clips is told, and nothing is left behind."""
    return Refused(f"the column would hold {shown} instead of {wanted.normalize():f}")


def by_key(rows: Iterable[Row], wanted: set[Key]) -> dict[Key, list[Row]]:
    """The rows that were asked for, by their key."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        key = (str(row.sku).strip(), str(row.location).strip())
        if key in wanted:
            found.setdefault(key, []).append(row)
    return found


def _noted(change: Change, now: datetime) -> dict[str, Any]:
    """What the journal keeps of a change."""
    return {
        "idempotency_key": change.correction.idempotency_key,
        "reference": change.correction.reference,
        "sku": change.correction.sku,
        "location": change.correction.location,
        "was": f"{change.row.shown:f}",
        "became": f"{change.after:f}",
        "applied_at": now,
    }


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
