"""All failing rows of a bucket, with their key, file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from expectations import keys
from expectations.columns import column, quoted
from expectations.conditions import UNIQUE, asked_of, failing_condition
from expectations.counts import counted_rows
from expectations.measure import Others
from expectations.metrics import BUCKETED_BY, SAMPLE, Metric
from reconcilers.database import session
from reconcilers.schemas import TEXT

#: Failing rows by `Metric.key`.
Samples = dict[str, list[dict[str, Any]]]

#: Columns that say which row it is, where a dataset has them.
KEY = ("pair", "sku", "location", "ref", "kind")
ORIGIN = ("source_file", "source_line")

#: What `unexpected.parquet` holds: the expectation, the row, what was found and where it came from.
SCHEMA = pa.schema(
    [
        ("expectation", TEXT),
        ("number", pa.int32()),
        ("severity", TEXT),
        ("description", TEXT),
        *((name, TEXT) for name in KEY),
        ("found", TEXT),
        ("source_file", TEXT),
        ("source_line", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Failing:
    """A metric whose rows are to be listed, its merged value, and what the list says of its expectation.

    `repeated` is, of uniqueness across buckets, the values that are there more than once (`v0, v1, …`).
    """

    metric: Metric
    state: Any
    labels: tuple[tuple[str, Any], ...] = ()
    repeated: pa.Table | None = None


def list_failing(
    rows: pa.Table, failing: Iterable[Failing], others: Others | None = None, bucketed_by: str | None = BUCKETED_BY
) -> tuple[pa.Table, Samples]:
    """All rows of a bucket that fail, and the first of each metric in the order of file and line.

    Args:
        rows: the bucket, with the columns of the metrics and those of `KEY` and `ORIGIN` that there are.
        failing: what is listed.
        others: the same bucket of the snapshots that metrics compare with.
        bucketed_by: the column by which rows are spread; None if they are not.

    Returns:
        Rows of `SCHEMA`, and by `Metric.key` up to `SAMPLE` failing rows.
    """
    tables, samples = [], {}
    with session(threads=1) as con:
        con.register("rows", rows)
        for each in failing:
            found = _failing_rows(con, rows.schema, each, others or {}, bucketed_by)
            samples[each.metric.key] = found[:SAMPLE].to_pylist()
            con.register("failing", found)
            tables.append(_listed(con, found.column_names, each))
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table(), samples


def merge_samples(first: Samples, second: Samples) -> Samples:
    """The first rows of both, in the order of file and line."""
    return {key: sorted(first.get(key, []) + second.get(key, []), key=_origin)[:SAMPLE] for key in {**first, **second}}


def repeated_here(rows: pa.Table, metric: Metric, repeated: Iterable[pa.Table]) -> pa.Table | None:
    """Of the values that repeat anywhere, table by table, those that are in these rows; None if there are none."""
    columns = [column(rows.schema, name).sql for name in metric.columns]
    same = " and ".join(f"r.v{n} is not distinct from {sql}" for n, sql in enumerate(columns))
    found = []
    with session(threads=1) as con:
        con.register("rows", rows)
        for table in repeated:
            con.register("repeated", table)
            found.append(con.sql(f"from repeated r where exists (from rows where {same})").to_arrow_table())
    return pa.concat_tables(found) if found else None


def _failing_rows(
    con: duckdb.DuckDBPyConnection, schema: pa.Schema, failing: Failing, others: Others, bucketed_by: str | None
) -> pa.Table:
    metric = failing.metric
    if metric.name in keys.FAILING:
        return keys.failing_keys(con, metric, others)
    where = _condition(con, schema, failing, bucketed_by)
    shown = [name for name in dict.fromkeys([*metric.columns, *KEY, *ORIGIN]) if name in schema.names]
    by = ", ".join(quoted(name) for name in ORIGIN if name in schema.names)
    order = f" order by {by}" if by else ""
    return con.sql(f"select {', '.join(map(quoted, shown))} from rows where {where}{order}").to_arrow_table()


def _listed(con: duckdb.DuckDBPyConnection, there: list[str], failing: Failing) -> pa.Table:
    """The view `failing` with the columns of `SCHEMA`."""
    metric, labels = failing.metric, dict(failing.labels)
    found = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in metric.columns if name in there)
    single = f"{quoted(metric.columns[0])}::varchar" if len(metric.columns) == 1 else None
    values = {"found": single or f"to_json(struct_pack({found}))::varchar"}
    columns = [
        f"{values.get(name) or (quoted(name) if name in there else 'null')} as {name}"
        for name in SCHEMA.names
        if name not in labels
    ]
    table = con.sql(f"select {', '.join(columns)} from failing").to_arrow_table()
    for name, value in labels.items():
        table = table.append_column(name, pa.array([value] * len(table), SCHEMA.field(name).type))
    return table.select(SCHEMA.names).cast(SCHEMA)


def _origin(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (str(row.get("source_file", "")), row.get("source_line") or 0)


def _condition(con: duckdb.DuckDBPyConnection, schema: pa.Schema, failing: Failing, bucketed_by: str | None) -> str:
    metric, state = failing.metric, failing.state
    if metric.base in UNIQUE:
        return _repeats(con, schema, failing, bucketed_by)
    if isinstance(state, Mapping) and "where" in state:
        of = column(schema, metric.columns[0])
        return f"({asked_of(metric, schema)}) and {state['where'].format(f'{of.sql}::double')}"
    return failing_condition(metric, schema)


def _repeats(con: duckdb.DuckDBPyConnection, schema: pa.Schema, failing: Failing, bucketed_by: str | None) -> str:
    """Rows whose key is among those that repeat: in this bucket, or, if it is spread, anywhere."""
    metric = failing.metric
    columns = [column(schema, name).sql for name in metric.columns]
    asked = counted_rows(metric, schema)
    if bucketed_by in metric.columns:
        names = ", ".join(f"{sql} as v{n}" for n, sql in enumerate(columns))
        con.execute(
            "create or replace temp view repeated as "
            f"select {names} from rows where {asked} group by all having count(*) > 1"
        )
    else:
        con.execute("drop view if exists repeated")
        con.register("repeated", failing.repeated)
    same = " and ".join(f"r.v{n} is not distinct from {sql}" for n, sql in enumerate(columns))
    return f"({asked}) and exists (from repeated r where {same})"
