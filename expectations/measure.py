"""Measuring a bucket: all metrics of a suite in one pass of SQL aggregates.

What needs no more than the bucket's own rows is one `select`. What compares values across buckets is
counted first (`expectations.counts`); what compares rows with those of another snapshot, or with the
other rows of an order line, is a query of its own (`expectations.keys`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from expectations import counts, keys
from expectations.columns import Column, column
from expectations.conditions import OF_COLUMN, OF_COLUMNS, UNIQUE, asked_of, failing_condition
from expectations.metrics import BUCKETED_BY, Metric, Values
from reconcilers.database import session
from reconcilers.errors import ConfigError

#: The rows of other snapshots that metrics compare with, by the name that a suite has for them.
Others = Mapping[str, pa.Table]


def supported(metric: Metric) -> bool:
    """Whether the metric can be computed exactly."""
    if metric.answer in ("unexpected_count", "filtered_row_count") and metric.base in {
        *OF_COLUMN,
        *OF_COLUMNS,
        *UNIQUE,
    }:
        return True
    return metric.name in {*AGGREGATES, *counts.ANSWERS, *keys.FAILING, *keys.TOGETHER}


def check(metrics: Iterable[Metric], schema: pa.Schema, keyed_by: Sequence[str] = (BUCKETED_BY,)) -> None:
    """Whether the metrics can be computed of rows with this schema, spread over buckets by `keyed_by`.

    Raises:
        ConfigError: a column does not exist or is of the wrong type, an argument does not fit, or a
            regular expression is not RE2's (it has no look-around and no references, so that none
            can backtrack).
    """
    asked = list(metrics)
    for metric in asked:
        if metric.name in {*keys.FAILING, *keys.TOGETHER}:
            keys.check(metric, schema, keyed_by)
    of_rows = [metric for metric in asked if metric.name not in {*keys.FAILING, *keys.TOGETHER}]
    with session(threads=1) as con:
        con.register("rows", schema.empty_table())
        try:
            _flat(con, schema, {m.key: m for m in of_rows if not counts.is_counted(m)})
            counts.of_bucket(con, schema, [m for m in of_rows if counts.is_counted(m)], shortcut=False)
        except duckdb.Error as error:
            reason = " ".join(str(error).split()).partition("LINE 1")[0].strip()
            raise ConfigError(f"{reason} (regular expressions are RE2's: no look-around, no references)") from error


def measure(
    rows: pa.Table, metrics: Iterable[Metric], others: Others | None = None, bucketed_by: str | None = BUCKETED_BY
) -> Values:
    """The values of one bucket; metrics that need the counts of all buckets are left out.

    Args:
        rows: the bucket.
        metrics: what is asked.
        others: the same bucket of the snapshots that metrics compare with.
        bucketed_by: the column by which rows are spread; None if they are not.

    Raises:
        ConfigError: a metric cannot be computed of these columns.
    """
    wanted = {metric.key: metric for metric in metrics}
    keyed = {k: m for k, m in wanted.items() if m.name in {*keys.FAILING, *keys.TOGETHER}}
    counted = {k: m for k, m in wanted.items() if k not in keyed and counts.is_counted(m)}
    flat = {k: m for k, m in wanted.items() if k not in keyed and k not in counted}
    values: Values = {}
    with session(threads=1) as con:
        con.register("rows", rows)
        values |= _flat(con, rows.schema, flat)
        local = [m for m in counted.values() if counts.is_local(m, bucketed_by)]
        values |= counts.of_bucket(con, rows.schema, local)
        for key, metric in keyed.items():
            values[key] = keys.measure(con, metric, others or {})
    return values


def _flat(con: duckdb.DuckDBPyConnection, schema: pa.Schema, metrics: Mapping[str, Metric]) -> Values:
    if not metrics:
        return {}
    expressions = [_expression(metric, schema) for metric in metrics.values()]
    (answers,) = con.execute(f"select {', '.join(expressions)} from rows").fetchall()
    return {k: _state(m, answer) for (k, m), answer in zip(metrics.items(), answers, strict=True)}


def _expression(metric: Metric, schema: pa.Schema) -> str:
    if metric.answer == "filtered_row_count":
        return f"count(*) filter ({asked_of(metric, schema)})"
    if metric.answer == "unexpected_count":
        return f"count(*) filter ({failing_condition(metric, schema)})"
    asked = asked_of(metric, schema)
    columns = [column(schema, name) for name in metric.columns]
    where = f" filter ({asked})" if asked != "true" else ""
    return AGGREGATES[metric.name](columns[0] if columns else None, metric, where)


def _state(metric: Metric, answer: Any) -> Any:
    """What the aggregate gave, as the value that merges."""
    if metric.name not in ("column.mean", "column.standard_deviation"):
        return answer
    if "m2" in answer:
        return {name: value or 0 for name, value in answer.items()}
    halves = [int(answer[name] or 0) for name in ("hh", "hl", "ll")]
    return {
        "n": answer["n"],
        "sum": int(answer["sum"] or 0),
        "squares": (halves[0] << 64) + (halves[1] << 33) + halves[2],
        "scale": answer["scale"],
    }


def _simple(sql: str, *kinds: str) -> Callable[[Any, Metric, str], str]:
    """An aggregate of one column of these kinds."""

    def expression(of: Column, _: Metric, where: str) -> str:
        if of.kind not in kinds:
            raise ConfigError(f"column {of.name!r} is of a type that has no {sql.split('(')[0]}")
        return sql.format(of.sql) + where

    return expression


def _total(of: Column, _: Metric, where: str) -> str:
    if not of.numeric:
        raise ConfigError(f"column {of.name!r} does not hold numbers")
    return f"coalesce(sum({of.sql}){where}, 0)"


def _sums(of: Column, _: Metric, where: str) -> str:
    """What mean and deviation are made of.

    Of exact numbers Σx and Σx² of the integers x = 2³²·hi + lo, as sums of products of their halves,
    which cannot overflow; of floating point numbers the mean and the squared deviations.
    """
    if of.kind == "float":
        return (
            f"{{'n': count({of.sql}){where}, 'mean': avg({of.sql}){where}, "
            f"'m2': var_pop({of.sql}){where} * (count({of.sql}){where})}}"
        )
    if of.scale is None:
        raise ConfigError(f"column {of.name!r} does not hold numbers of up to 18 digits")
    whole = f"({of.sql}::decimal(38, {of.scale}) * {10**of.scale})::hugeint"
    high, low = f"({whole} >> 32)", f"({whole} & 4294967295)"
    return (
        f"{{'n': count({of.sql}){where}, 'sum': sum({whole}){where}, 'scale': {of.scale}, "
        f"'hh': sum({high} * {high}){where}, 'hl': sum({high} * {low}){where}, 'll': sum({low} * {low}){where}}}"
    )


def _present(of: Column, metric: Metric, where: str) -> str:
    """Of each wanted value, whether it is there."""
    tests = []
    for value in dict.fromkeys(metric.arguments["value_set"]):
        literal = None if value is None else of.literal(value)
        tests.append("false" if literal is None else f"coalesce(bool_or({of.sql} = {literal}){where}, false)")
    return f"[{', '.join(tests)}]::boolean[]"


_ORDERED = ("text", "exact", "float", "instant", "local", "date", "bool")

#: Aggregates of a bucket, by metric.
AGGREGATES: dict[str, Callable[[Any, Metric, str], str]] = {
    "table.row_count": lambda of, metric, where: f"count(*){where}",
    "column.min": _simple("min({0})", *_ORDERED),
    "column.max": _simple("max({0})", *_ORDERED),
    "column.sum": _total,
    "column.mean": _sums,
    "column.standard_deviation": _sums,
    "column.non_null_proportion": lambda of, metric, where: (
        f"{{'part': count({of.sql}){where}, 'whole': count(*){where}}}"
    ),
    "column.distinct_values.missing_from_column": _present,
    "column.distinct_values.missing_from_column.count": _present,
}
