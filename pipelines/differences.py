"""What a run found about records and orders as two tables, the same for pairs of any key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipelines.reconcile import read_parts
from reconcilers.database import session
from reconcilers.fields import COLUMN_STATS
from reconcilers.records import key_name
from reconcilers.rules import literal, quoted
from reconcilers.schemas import INSTANT, TEXT

#: What only differences of orders have.
_OF_ORDERS = {
    "line": TEXT,
    "sku": TEXT,
    "doc": TEXT,
    "lines": TEXT,
    "value": pa.decimal128(38, 9),
    "currency": TEXT,
    "clears_by": INSTANT,
    "severity": TEXT,
}

#: `key` is JSON: the columns that name the record or order, as text.
DIFFERENCES = pa.schema(
    [
        *((name, TEXT) for name in ("pair", "key", "column", "value_a", "value_b", "class", "reason", "difference")),
        ("age", pa.int32()),
        *_OF_ORDERS.items(),
        *((name, TEXT) for name in ("break_id", "first_seen_run", "last_seen_run", "status")),
    ]
)

#: The tables, and their columns.
SCHEMAS = {"differences": DIFFERENCES, "column_stats": pa.schema([("pair", TEXT), *COLUMN_STATS])}


def read_table(name: str, directory: str, summary: Mapping[str, Any]) -> Iterator[pa.Table]:
    """One of the tables of a run, part by part; its directory and summary are given.

    Raises:
        Unreachable: a part cannot be read.
    """
    for pair, found in summary.get("records", {}).items():
        if name == "differences":
            for part in read_parts(directory, name, pair):
                yield _alike(part, found)
        else:
            stats = [{"pair": pair, **column} for column in found["columns"]]
            yield pa.Table.from_pylist(stats, schema=SCHEMAS[name])


def _alike(part: pa.Table, found: Mapping[str, Any]) -> pa.Table:
    """Differences of one pair with the columns that those of all pairs have."""
    key = ", ".join(f"{literal(name)}: {quoted(key_name(name))}::varchar" for name in found["key"])
    with session(threads=1) as con:
        con.register("part", part)
        keys = con.sql(f"select to_json({{{key}}})::varchar from part").to_arrow_table().column(0)
    # a key of records may be called like a column of orders
    absent = {} if found["kind"] == "orders" else _OF_ORDERS
    columns = [
        keys if field.name == "key" else pa.nulls(len(part)) if field.name in absent else part.column(field.name)
        for field in DIFFERENCES
    ]
    return pa.table(columns, names=DIFFERENCES.names).cast(DIFFERENCES)
