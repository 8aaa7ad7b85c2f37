"""How often each value occurs: what uniqueness, distinct values, modes and quantiles are made of.

Values that are compared across buckets are counted bucket by bucket and the counts spread by the hash
of the value, so that one partition has all counts of its values and can be held in memory. Where rows
are bucketed by a column of the key, a bucket is such a partition already. Answers about disjoint sets
of values merge like any other metric; quantiles and outliers need all counts in one partition, which
DuckDB sorts on disk where memory does not suffice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from expectations.columns import Column, column, text
from expectations.conditions import UNIQUE, asked_of
from expectations.metrics import SAMPLE, Metric, Values, deviation_of, mean_of
from reconcilers.database import connect, session
from reconcilers.errors import ConfigError

#: Metrics about the whole distribution of a column.
WHOLE = (
    "column.median",
    "column.quantile_values",
    "column_values.z_score.under_threshold.unexpected_count",
    "column_values.not_outliers.unexpected_count",
)

#: What one partition of counts may take before DuckDB goes on on disk.
MEMORY = "1GiB"


@dataclass(frozen=True)
class Counting:
    """Which values are counted: their columns, of which rows, and whether all counts are needed at once."""

    columns: tuple[str, ...]
    asked: str
    whole: bool


def is_counted(metric: Metric) -> bool:
    """Whether the metric is answered from counts of values."""
    return metric.name in ANSWERS


def is_local(metric: Metric, bucketed_by: str | None) -> bool:
    """Whether a bucket has all counts of its values."""
    return bucketed_by in metric.columns and metric.name not in WHOLE


def countings(
    metrics: Iterable[Metric], schema: pa.Schema, bucketed_by: str | None
) -> list[tuple[Counting, list[Metric]]]:
    """What has to be counted over all buckets, with the metrics that each counting answers."""
    groups: dict[tuple[tuple[str, ...], str], list[Metric]] = {}
    for metric in metrics:
        if is_counted(metric) and not is_local(metric, bucketed_by):
            groups.setdefault((metric.columns, counted_rows(metric, schema)), []).append(metric)
    return [
        (Counting(columns, asked, any(m.name in WHOLE for m in found)), found)
        for (columns, asked), found in groups.items()
    ]


def count_values(rows: pa.Table, asked: Iterable[Counting], partitions: int) -> list[list[pa.Table]]:
    """How often each value occurs in a bucket: for each counting its partitions, columns `v0, v1, …, n`."""
    with session(threads=1) as con:
        con.register("rows", rows)
        return [_spread(con, rows.schema, counting, partitions) for counting in asked]


def _spread(con: duckdb.DuckDBPyConnection, schema: pa.Schema, counting: Counting, partitions: int) -> list[pa.Table]:
    of = 1 if counting.whole else partitions
    columns = [column(schema, name) for name in counting.columns]
    names = ", ".join(f"{each.sql} as v{n}" for n, each in enumerate(columns))
    values = ", ".join(f"v{n}" for n in range(len(columns)))
    table = con.sql(
        f"select {values}, n, (hash({values}) % {of})::int as p from "
        f"(select {names}, count(*) as n from rows where {counting.asked} group by all) order by p"
    ).to_arrow_table()
    ends = np.cumsum(np.bincount(table["p"].to_numpy(), minlength=of)).tolist()
    table = table.drop_columns(["p"])
    return [table.slice(start, end - start) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def answer(
    counts: pa.RecordBatchReader | pa.Table, metrics: Iterable[Metric], schema: pa.Schema
) -> tuple[Values, pa.Table | None]:
    """The answers of one partition, and the values that repeat where uniqueness is asked about.

    Args:
        counts: what `count_values` made of this partition in every bucket.
        metrics: those of one counting.
        schema: of the rows that were counted.
    """
    asked = list(metrics)
    with tempfile.TemporaryDirectory(prefix="recon-counts-") as beyond, connect(threads=1) as con:
        con.execute(f"set memory_limit = '{MEMORY}'")
        con.execute(f"set temp_directory = {text(beyond)}")
        con.register("incoming", counts)
        names = [name for name in counts.schema.names if name != "n"]
        con.execute(
            f"create temp table counted as select {', '.join(names)}, sum(n)::bigint as n from incoming group by all"
        )
        values = _answers(con, asked, schema)
        repeated = any(metric.base in UNIQUE for metric in asked)
        return values, con.sql("from counted where n > 1").to_arrow_table() if repeated else None


def of_bucket(
    con: duckdb.DuckDBPyConnection, schema: pa.Schema, metrics: list[Metric], shortcut: bool = True
) -> Values:
    """The answers of a bucket that has all counts of its values; its rows are the view `rows`."""
    values: Values = {}
    for counting, asked in countings(metrics, schema, None):
        columns = [column(schema, name) for name in counting.columns]
        if shortcut and all(metric.base in UNIQUE for metric in asked) and _all_differ(con, columns, counting):
            values |= dict.fromkeys((metric.key for metric in asked), 0)
            continue
        names = ", ".join(f"{each.sql} as v{n}" for n, each in enumerate(columns))
        con.execute(
            "create or replace temp table counted as "
            f"select {names}, count(*) as n from rows where {counting.asked} group by all"
        )
        values |= _answers(con, asked, schema)
    return values


def _all_differ(con: duckdb.DuckDBPyConnection, columns: list[Column], counting: Counting) -> bool:
    """As many hashes as rows: then no two keys are the same, and nothing has to be grouped by texts."""
    key = ", ".join(each.sql for each in columns)
    (found,) = con.execute(f"select count(*) = count(distinct hash({key})) from rows where {counting.asked}").fetchall()
    return bool(found[0])


def _answers(con: duckdb.DuckDBPyConnection, metrics: list[Metric], schema: pa.Schema) -> Values:
    """The values of metrics from the table `counted`."""
    return {m.key: ANSWERS[m.name](con, m, _counted(column(schema, m.columns[0]))) for m in metrics}


def _counted(of: Column) -> Column:
    """The column as the table of counts has it."""
    return Column(of.name, of.kind, "v0", of.scale)


def counted_rows(metric: Metric, schema: pa.Schema) -> str:
    """Which rows are counted: of a single column, those that have a value."""
    asked = asked_of(metric, schema)
    if metric.base == "compound_columns.unique":
        return asked
    present = f"{column(schema, metric.columns[0]).sql} is not null"
    return present if asked == "true" else f"({asked}) and {present}"


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    (row,) = con.execute(sql).fetchall()
    return row[0]


def _distinct(con: duckdb.DuckDBPyConnection, _: Metric, __: Column) -> int:
    return int(_one(con, "select count(*) from counted"))


def _share_of_distinct(con: duckdb.DuckDBPyConnection, _: Metric, __: Column) -> dict[str, int]:
    answer: dict[str, int] = _one(con, "select {'part': count(*), 'whole': coalesce(sum(n), 0)::bigint} from counted")
    return answer


def _others(metric: Metric, of: Column) -> str:
    known = of.listed(metric.arguments["value_set"])
    return f"v0 not in ({known})" if known else "true"


def _count_of_others(con: duckdb.DuckDBPyConnection, metric: Metric, of: Column) -> int:
    return int(_one(con, f"select count(*) from counted where {_others(metric, of)}"))


def _other_values(con: duckdb.DuckDBPyConnection, metric: Metric, of: Column) -> list[Any]:
    sql = f"select v0 from counted where {_others(metric, of)} order by v0 limit {SAMPLE}"
    return [value for (value,) in con.execute(sql).fetchall()]


def _repeated_rows(con: duckdb.DuckDBPyConnection, _: Metric, __: Column) -> int:
    return int(_one(con, "select coalesce(sum(n) filter (n > 1), 0)::bigint from counted"))


def _most_common(con: duckdb.DuckDBPyConnection, metric: Metric, of: Column) -> dict[str, Any]:
    most = _one(con, "select coalesce(max(n), 0) from counted")
    known = of.listed(metric.arguments.get("value_set") or ())
    wanted = f"select v0 from counted where n = {most} and v0 in ({known or 'null'}) order by v0"
    some = f"select v0 from counted where n = {most} order by v0 limit {SAMPLE}"
    return {
        "n": most,
        "ties": _one(con, f"select count(*) from counted where n = {most}"),
        "wanted": [value for (value,) in con.execute(wanted).fetchall()],
        "sample": [value for (value,) in con.execute(some).fetchall()],
    }


def _at_ranks(con: duckdb.DuckDBPyConnection, ranks: Iterable[int]) -> list[Any]:
    """The values at these places of the sorted column."""
    con.execute(
        "create or replace temp table ranked as select v0, sum(n) over (order by v0 rows unbounded preceding) as upto "
        "from counted"
    )
    return [_one(con, f"select min(v0) from ranked where upto > {rank}") for rank in ranks]


def _quantile(con: duckdb.DuckDBPyConnection, of: Column, share: float, how: str) -> Any:
    """Numpy's quantile of the column, with the same interpolations."""
    n = int(_one(con, "select coalesce(sum(n), 0)::bigint from counted"))
    if not n:
        return None
    place = share * (n - 1)
    low = min(int(place), n - 1)
    high = min(low + 1, n - 1) if place > low else low
    if how in ("lower", "higher", "nearest"):
        rank = {"lower": low, "higher": high, "nearest": round(place)}[how]
        (value,) = _at_ranks(con, [rank])
        return float(value) if of.numeric else value
    below, above = _at_ranks(con, [low, high])
    part = 0.5 if how == "midpoint" and high > low else place - low
    if isinstance(above - below, timedelta):
        return below + (above - below) * part
    return float(below) + (float(above) - float(below)) * part


def _median(con: duckdb.DuckDBPyConnection, _: Metric, of: Column) -> Any:
    if not of.numeric:
        raise ConfigError(f"column {of.name!r} does not hold numbers")
    return _quantile(con, of, 0.5, "linear")


def _quantiles(con: duckdb.DuckDBPyConnection, metric: Metric, of: Column) -> list[Any]:
    how = metric.arguments.get("allow_relative_error") or "nearest"
    if how not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ConfigError(f"allow_relative_error {how!r} is not an interpolation")
    if how in ("linear", "midpoint") and not (of.numeric or of.kind in ("instant", "local")):
        raise ConfigError(f"column {of.name!r} has no values between its values: use nearest")
    return [_quantile(con, of, share, how) for share in metric.arguments["quantiles"]]


def _beyond(con: duckdb.DuckDBPyConnection, of: Column, condition: str | None) -> dict[str, Any]:
    """How many rows are outside, and the condition by which they are found again."""
    if condition is None:
        return {"count": 0, "where": "false"}
    count = int(_one(con, f"select coalesce(sum(n) filter ({condition.format('v0::double')}), 0)::bigint from counted"))
    return {"count": count, "where": condition}


def _mean_and_deviation(con: duckdb.DuckDBPyConnection, of: Column) -> tuple[float | None, float | None]:
    """Mean and standard deviation of the counted values."""
    if not of.numeric:
        raise ConfigError(f"column {of.name!r} does not hold numbers")
    n, mean = con.execute("select coalesce(sum(n), 0)::bigint, sum(v0::double * n) / sum(n) from counted").fetchall()[0]
    m2 = _one(con, f"select sum((v0::double - ({mean or 0!r}::double)) ** 2 * n) from counted") or 0.0
    value = {"n": n, "mean": mean or 0.0, "m2": m2}
    return mean_of(value), deviation_of(value)


def _z_score(con: duckdb.DuckDBPyConnection, metric: Metric, of: Column) -> dict[str, Any]:
    mean, deviation = _mean_and_deviation(con, of)
    if mean is None or not deviation:
        return _beyond(con, of, None)
    score = f"(({{0}} - ({mean!r}::double)) / {deviation!r}::double)"
    threshold = float(metric.arguments["threshold"])
    if metric.arguments.get("double_sided"):
        return _beyond(con, of, f"abs{score} >= {abs(threshold)!r}::double")
    return _beyond(con, of, f"{score} >= ({threshold!r}::double)")


def _outliers(con: duckdb.DuckDBPyConnection, metric: Metric, of: Column) -> dict[str, Any]:
    multiplier = float(metric.arguments.get("multiplier") or 1.5)
    method = metric.arguments.get("method") or "iqr"
    if method == "iqr":
        if not of.numeric:
            raise ConfigError(f"column {of.name!r} does not hold numbers")
        low, high = (_quantile(con, of, share, "linear") for share in (0.25, 0.75))
        if low is None or high is None:
            return _beyond(con, of, None)
        reach = multiplier * (high - low)
        return _beyond(con, of, f"({{0}} < ({low - reach!r}::double) or {{0}} > ({high + reach!r}::double))")
    if method != "std":
        raise ConfigError(f"method {method!r} is not known: iqr or std")
    mean, deviation = _mean_and_deviation(con, of)
    if mean is None or deviation is None:
        return _beyond(con, of, None)
    if multiplier * deviation <= 0:
        return _beyond(con, of, f"{{0}} <> ({mean!r}::double)")
    return _beyond(con, of, f"abs({{0}} - ({mean!r}::double)) >= {multiplier * deviation!r}::double")


#: What the counts of a partition say, by metric.
ANSWERS: dict[str, Callable[[duckdb.DuckDBPyConnection, Metric, Column], Any]] = {
    "column.distinct_values.count": _distinct,
    "column.unique_proportion": _share_of_distinct,
    "column.distinct_values.not_in_set.count": _count_of_others,
    "column.distinct_values.not_in_set": _other_values,
    "column.most_common_value": _most_common,
    "column.median": _median,
    "column.quantile_values": _quantiles,
    "column_values.unique.unexpected_count": _repeated_rows,
    "compound_columns.unique.unexpected_count": _repeated_rows,
    "column_values.z_score.under_threshold.unexpected_count": _z_score,
    "column_values.not_outliers.unexpected_count": _outliers,
}
