"""PostgreSQL as a target: a column of a batch is one parameter, and one statement updates, notes and reads back.

Five hundred statements, or five hundred parameters, cost more than what they do. A column goes as a JSON list,
which both sides are quick at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from pipelines.connectors.sql_target import Change, Key, Refused, Row, Target, by_key, rounded
from reconcilers.errors import ConfigError

# `character` alone would be one character.
_TYPES = """
select attname, case atttypid when 'bpchar'::regtype then 'bpchar' else atttypid::regtype::text end
from pg_attribute
where attrelid = to_regclass(%(table)s) and attnum > 0 and not attisdropped
"""

_ROWS = """
select t.{sku}, t.{location}, t.{quantity}
from (
    select distinct sku::{sku_type}, location::{location_type}
    from rows from (
        json_array_elements_text(%(skus)s::json), json_array_elements_text(%(locations)s::json)
    ) as key(sku, location)
) as key
join {table} as t on t.{sku} = key.sku and t.{location} = key.location
"""

#: Rows are locked in the same order by everybody.
_LOCK = "order by 1, 2 for update of t"

_KNOWN = """
select idempotency_key from {journal}
where idempotency_key = any(array(select json_array_elements_text(%(keys)s::json)))
"""

_WRITE = """
with
line as materialized (
    select *
    from rows from (
        json_array_elements_text(%(keys)s::json), json_array_elements_text(%(references)s::json),
        json_array_elements_text(%(skus)s::json), json_array_elements_text(%(locations)s::json),
        json_array_elements_text(%(was)s::json), json_array_elements_text(%(became)s::json)
    ) as line(idempotency_key, reference, sku, location, was, became)
),
noted as (
    insert into {journal} (idempotency_key, reference, sku, location, was, became, applied_at)
    select idempotency_key, reference, trim(sku), trim(location), was, became, now() at time zone 'utc' from line
),
written as (
    update {table} as t set {quantity} = line.became::numeric
    from line
    where
        t.{sku} = line.sku::{sku_type}
        and t.{location} = line.location::{location_type}
        and t.{quantity} = line.was::{quantity_type}
    returning t.{quantity} as shown, line.became::numeric as wanted
)
select
    count(*) as rows,
    (array_agg(shown::text) filter (where shown::numeric is distinct from wanted))[1] as shown,
    (array_agg(wanted) filter (where shown::numeric is distinct from wanted))[1] as wanted
from written
"""


class PostgresqlTarget(Target):
    """A table of PostgreSQL."""

    def __init__(self, table: str, columns: tuple[str, str, str], journal: str) -> None:
        super().__init__(table, columns, journal)
        self._types: dict[str, str] = {}

    def rows(self, connection: sa.Connection, keys: Sequence[Key], *, lock: bool = False) -> dict[Key, list[Row]]:
        """The rows of the table by (SKU, location); locked, their order is the same for everybody."""
        skus, locations = (json.dumps(names) for names in zip(*keys, strict=True))
        query = self._statement(connection, _ROWS + (_LOCK if lock else ""))
        found = connection.exec_driver_sql(query, {"skus": skus, "locations": locations})
        return by_key((Row(*row) for row in found), set(keys))

    def known(self, connection: sa.Connection, keys: list[str]) -> set[str]:
        """Those of the idempotency keys that the journal has."""
        found = connection.exec_driver_sql(_KNOWN.format(**self._names), {"keys": json.dumps(keys)})
        return set(found.scalars())

    def write(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        """Update rows, note what was done, and look at what they show then.

        Raises:
            Refused: that is not one row a correction, or a row does not show what was written.
        """
        statement = self._statement(connection, _WRITE)
        for each in _rounds(changes):
            columns = {
                "keys": [change.correction.idempotency_key for change in each],
                "references": [change.correction.reference for change in each],
                "skus": [str(change.row.sku) for change in each],
                "locations": [str(change.row.location) for change in each],
                "was": [str(change.row.quantity) for change in each],
                "became": [f"{change.after:f}" for change in each],
            }
            lists = {name: json.dumps(column) for name, column in columns.items()}
            rows, shown, wanted = connection.exec_driver_sql(statement, lists).one()
            if rows != len(each):
                raise Refused(f"{rows} rows would change instead of {len(each)}")
            if wanted is not None:
                raise rounded(shown, wanted)

    def _statement(self, connection: sa.Connection, text: str) -> str:
        if not self._types:
            self._types = self._look_up(connection)
        return text.format(**self._names, **self._types)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Names as they stand in a statement: quoted where need be, percent signs doubled."""
        quoting = postgresql.psycopg.dialect().identifier_preparer  # type: ignore[no-untyped-call]
        columns = {"sku": self.sku, "location": self.location, "quantity": self.quantity}
        tables = {"table": self.table, "journal": self.journal}
        return {name: quoting.quote(column.name) for name, column in columns.items()} | {
            name: quoting.format_table(table) for name, table in tables.items()
        }

    def _look_up(self, connection: sa.Connection) -> dict[str, str]:
        """What the columns are, so that an index on them is of use. Raises `ConfigError` where one is not there."""
        table = self._names["table"].replace("%%", "%")
        found: dict[str, str] = dict(map(tuple, connection.exec_driver_sql(_TYPES, {"table": table})))
        if not found:
            raise ConfigError(f"no table {table}")
        wanted = {"sku": self.sku.name, "location": self.location.name, "quantity": self.quantity.name}
        missing = [name for name in wanted.values() if name not in found]
        if missing:
            raise ConfigError(f"{table} has no column {missing[0]!r}")
        return {f"{name}_type": found[column] for name, column in wanted.items()}


def _rounds(changes: Sequence[Change]) -> list[Sequence[Change]]:
    """The changes so that none has a row twice: one statement changes a row once."""
    if len({change.key for change in changes}) == len(changes):
        return [changes]
    rounds: list[list[Change]] = []
    seen: Counter[Key] = Counter()
    for change in changes:
        if seen[change.key] == len(rounds):
            rounds.append([])
        rounds[seen[change.key]].append(change)
        seen[change.key] += 1
    return list(rounds)
