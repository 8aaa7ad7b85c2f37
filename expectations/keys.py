"""Metrics that look beyond a row: at another snapshot, or at all events of an order line.

The rows of one SKU are in one bucket of every snapshot, so a bucket at a time has everything that a
key needs, and the counts of buckets add up. Each metric is a relation of failing keys over the views
`rows` and `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from expectations.columns import column, quoted, text
from expectations.metrics import BUCKETED_BY, SAMPLE, Metric
from reconcilers.errors import ConfigError

#: Edges of the cells in which the distribution of a quantity is compared, unless a suite has others.
EDGES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)


def check(metric: Metric, schema: pa.Schema, keyed_by: Sequence[str]) -> None:
    """Whether the columns of the metric exist, and what says which bucket a row is in is part of its keys.

    Raises:
        ConfigError: they do not, or it is not.
    """
    for name in metric.columns:
        column(schema, name)
    if metric.name in FAILING:
        if missing := [name for name in keyed_by if name not in metric.columns]:
            raise ConfigError(f"keys are compared bucket by bucket: {missing[0]!r} has to be one of their columns")
        if tuple(keyed_by) != (BUCKETED_BY,) and metric.arguments.get("other", "previous") != "previous":
            raise ConfigError(f"keys of {', '.join(keyed_by)} are compared with those of `previous` only")
    if metric.name == "column.drift" and not column(schema, metric.columns[0]).numeric:
        raise ConfigError(f"column {metric.columns[0]!r} does not hold numbers")


def measure(con: duckdb.DuckDBPyConnection, metric: Metric, others: Mapping[str, pa.Table]) -> Any:
    """The value of one bucket, whose rows are the view `rows`; None where there is nothing to compare with."""
    other = metric.arguments.get("other")
    if other is not None:
        if other not in others:
            return None
        con.register("other", others[other])
    if metric.name in TOGETHER:
        return TOGETHER[metric.name](con, metric)
    failing, all_ = FAILING[metric.name](metric)
    sql = f"select (select count(*) from ({failing})), (select count(*) from ({all_}))"
    part, whole = con.execute(sql).fetchall()[0]
    sample = con.sql(f"{failing} order by all limit {SAMPLE}").to_arrow_table().to_pylist() if part else []
    return {"part": part, "whole": whole, "sample": sample}


def failing_keys(con: duckdb.DuckDBPyConnection, metric: Metric, others: Mapping[str, pa.Table]) -> pa.Table:
    """The keys that fail in a bucket, whose rows are the view `rows`."""
    if metric.arguments.get("other") is not None:
        con.register("other", others[metric.arguments["other"]])
    failing, _ = FAILING[metric.name](metric)
    return con.sql(failing).to_arrow_table()


def _plain(name: str, metric: Metric) -> str:
    """A column of a key, without what one of the sides puts before it."""
    prefixes = metric.arguments.get("strip_prefix") or ()
    if not prefixes:
        return quoted(name)
    # the longest first, so that WEB-# is not mistaken for WEB-
    found = " ".join(
        f"when starts_with({quoted(name)}, {text(prefix)}) then substr({quoted(name)}, {len(prefix) + 1})"
        for prefix in sorted(prefixes, key=len, reverse=True)
    )
    return f"case {found} else {quoted(name)} end as {quoted(name)}"


def _distinct(view: str, metric: Metric) -> str:
    where = f" where {metric.where}" if metric.where and view == "rows" else ""
    return f"select distinct {', '.join(_plain(name, metric) for name in metric.columns)} from {view}{where}"


def _lost(metric: Metric) -> tuple[str, str]:
    """Keys of the other snapshot that this one does not have."""
    before = _distinct("other", metric)
    return f"from ({before}) anti join ({_distinct('rows', metric)}) using ({_using(metric)})", before


def _unknown(metric: Metric) -> tuple[str, str]:
    """Keys of this snapshot that the other one does not have."""
    here = _distinct("rows", metric)
    return f"from ({here}) anti join ({_distinct('other', metric)}) using ({_using(metric)})", here


def _using(metric: Metric) -> str:
    return ", ".join(map(quoted, metric.columns))


def _of_kinds(kinds: Any) -> str:
    listed = ", ".join(text(str(kind)) for kind in kinds)
    return f"coalesce(sum(quantity) filter (kind in ({listed})), 0)"


def _inconsistent(metric: Metric) -> tuple[str, str]:
    """Order lines of which more was shipped and cancelled than ordered (DOMAIN 1.2)."""
    lines = (
        f"select {_using(metric)}, {_of_kinds(['PLACE'])} as ordered, {_of_kinds(['SHIP', 'CANCEL'])} as done "
        f"from rows group by {_using(metric)} having bool_or(kind = 'PLACE')"
    )
    return f"select {_using(metric)} from ({lines}) where done > ordered", lines


def _unbalanced(metric: Metric) -> tuple[str, str]:
    """Closed order lines whose reservations do not come to zero (DOMAIN 1.2, Magento's Σ per order)."""
    lines = (
        f"select {_using(metric)}, {_of_kinds(metric.arguments['opens'])} as opened, "
        f"{_of_kinds(metric.arguments['closes'])} as closed "
        f"from rows group by {_using(metric)} "
        f"having {_of_kinds(['PLACE'])} = {_of_kinds(['SHIP', 'CANCEL'])} and bool_or(kind = 'PLACE')"
    )
    return f"select {_using(metric)} from ({lines}) where opened <> closed and opened <> 0", lines


def _cells(con: duckdb.DuckDBPyConnection, metric: Metric) -> list[list[int]]:
    """How many values of both snapshots are in each cell; what is below the first edge is one, too."""
    edges = sorted(float(edge) for edge in metric.arguments.get("edges") or EDGES)
    name = quoted(metric.columns[0])
    cells = [
        f"count(*) filter ({' and '.join(tests)})"
        for low, high in zip([None, *edges], [*edges, None], strict=True)
        for tests in [
            [f"{name} is not null"]
            + ([] if low is None else [f"{name} >= {low!r}"])
            + ([] if high is None else [f"{name} < {high!r}"])
        ]
    ]
    return [list(con.execute(f"select {', '.join(cells)} from {view}").fetchall()[0]) for view in ("rows", "other")]


#: The failing keys, and all keys of which they are a part, as SQL.
FAILING: dict[str, Callable[[Metric], tuple[str, str]]] = {
    "keys.lost": _lost,
    "keys.unknown": _unknown,
    "lines.inconsistent": _inconsistent,
    "lines.unbalanced": _unbalanced,
}


def _shares(con: duckdb.DuckDBPyConnection, metric: Metric) -> dict[str, list[int]]:
    """Rows with the values that are counted, and all rows, of each group."""
    group, of = map(quoted, metric.columns)
    values = ", ".join(text(str(value)) for value in metric.arguments["value_set"])
    where = f" where {metric.where}" if metric.where else ""
    sql = (
        f"select {group}::varchar, count(*) filter ({of}::varchar in ({values})), count(*) from rows{where} group by 1"
    )
    return {str(name): [part, whole] for name, part, whole in con.execute(sql).fetchall()}


#: What is neither a count of rows nor of keys.
TOGETHER: dict[str, Callable[[duckdb.DuckDBPyConnection, Metric], Any]] = {
    "column.drift": _cells,
    "group.shares": _shares,
}
