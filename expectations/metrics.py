"""The metrics that expectations ask for, as mergeable SQL aggregates; knows nothing of Great Expectations.

One pass over a bucket answers every metric of a suite (`measure`); the answers of buckets are merged
exactly (`merge`), in any order. A metric is named as Great Expectations names it. Counts of
duplicates are exact because all rows with one SKU live in one bucket, so a unique key has the SKU in
it; any other key is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa

from reconcilers.errors import ConfigError
from reconcilers.stock import connect

Values = dict[str, Any]

#: How many failing rows a result shows.
SAMPLE = 20


@dataclass(frozen=True)
class Metric:
    """One metric: its name, its columns, and its arguments (`min_value`, `value_set`, …)."""

    name: str
    columns: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> str:
        """What identifies the metric among those of a suite."""
        return json.dumps([self.name, self.columns, self.arguments], default=str, sort_keys=True)

    @property
    def base(self) -> str:
        """The map metric that a count or a list of failing values belongs to."""
        return self.name.rsplit(".", 1)[0]

    @property
    def answer(self) -> str:
        """What is asked about it: `unexpected_count`, `unexpected_values`, `row_count` and so on."""
        return self.name.rsplit(".", 1)[-1]


def supported(metric: Metric) -> bool:
    """Whether the metric can be computed exactly, bucket by bucket."""
    if metric.answer in ("unexpected_count", "unexpected_values", "filtered_row_count"):
        return metric.base in _BAD or (metric.base in _UNIQUE and "sku" in metric.columns)
    return metric.name in _AGGREGATES


def measure(rows: pa.Table, metrics: Iterable[Metric]) -> Values:
    """All metrics of one bucket in one pass; the values by `Metric.key`.

    Raises:
        ConfigError: a column does not exist.
    """
    wanted = {metric.key: metric for metric in metrics}
    for metric in wanted.values():
        for column in metric.columns:
            if column not in rows.column_names:
                raise ConfigError(f"no column {column!r} for {metric.name}; there are: {', '.join(rows.column_names)}")
    if not wanted:
        return {}
    with connect(threads=1) as con:
        con.register("rows", rows)
        select = ", ".join(_expression(metric) for metric in wanted.values())
        (answers,) = con.execute(f"select {select} from rows").fetchall()
    return {key: _cleaned(value, metric) for (key, metric), value in zip(wanted.items(), answers, strict=True)}


def merge(first: Values, second: Values, metrics: Iterable[Metric]) -> Values:
    """The values of two sets of rows as those of both together."""
    return {m.key: _merged(m)(first[m.key], second[m.key]) for m in metrics}


def merge_all(values: Iterable[Values], metrics: Iterable[Metric]) -> Values:
    """`merge` over any number of buckets; those of no rows at all for none."""
    asked = list(metrics)
    return reduce(lambda a, b: merge(a, b, asked), values)


def to_json(values: Values) -> str:
    """Values as text that `from_json` reads back exactly."""
    return json.dumps(values, default=_encoded)


def from_json(text: str | bytes) -> Values:
    """What `to_json` wrote."""
    values: Values = json.loads(text, object_hook=_decoded)
    return values


def _bad_nonnull(column: str, _: Mapping[str, Any]) -> str:
    return f"{column} is null"


def _bad_null(column: str, _: Mapping[str, Any]) -> str:
    return f"{column} is not null"


def _bad_between(column: str, arguments: Mapping[str, Any]) -> str:
    tests = []
    for bound, strict, sign in (("min_value", "strict_min", ">"), ("max_value", "strict_max", "<")):
        if arguments.get(bound) is not None:
            comparison = sign if arguments.get(strict) else f"{sign}="
            tests.append(f"{column} {comparison} {_literal(arguments[bound])}")
    return f"not ({' and '.join(tests) or 'true'})"


def _bad_in_set(column: str, arguments: Mapping[str, Any]) -> str:
    return f"{column} not in ({_listed(arguments['value_set'])})" if arguments["value_set"] else "true"


def _bad_not_in_set(column: str, arguments: Mapping[str, Any]) -> str:
    return f"{column} in ({_listed(arguments['value_set'])})" if arguments["value_set"] else "false"


def _bad_match_regex(column: str, arguments: Mapping[str, Any]) -> str:
    return f"not regexp_matches({column}, {_literal(arguments['regex'])})"


def _bad_not_match_regex(column: str, arguments: Mapping[str, Any]) -> str:
    return f"regexp_matches({column}, {_literal(arguments['regex'])})"


def _bad_length(column: str, arguments: Mapping[str, Any]) -> str:
    return _bad_between(f"length({column})", arguments)


#: The condition of a failing row, per map metric; rows whose column is null are not judged.
_BAD: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "column_values.nonnull": _bad_nonnull,
    "column_values.null": _bad_null,
    "column_values.between": _bad_between,
    "column_values.in_set": _bad_in_set,
    "column_values.not_in_set": _bad_not_in_set,
    "column_values.match_regex": _bad_match_regex,
    "column_values.not_match_regex": _bad_not_match_regex,
    "column_values.value_length.between": _bad_length,
}
_UNIQUE = {"column_values.unique", "compound_columns.unique"}
_JUDGES_NULL = {"column_values.nonnull", "column_values.null"}

#: Aggregates of a whole column: SQL, and how two answers become one.
_AGGREGATES: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "table.row_count": ("count(*)", lambda a, b: a + b),
    "column.min": ("min({0})", lambda a, b: min(filter(_told, (a, b)), default=None)),
    "column.max": ("max({0})", lambda a, b: max(filter(_told, (a, b)), default=None)),
    "column.sum": ("sum({0})", lambda a, b: b if a is None else a if b is None else a + b),
}


def _expression(metric: Metric) -> str:
    columns = [_quoted(column) for column in metric.columns]
    if metric.name in _AGGREGATES:
        return _AGGREGATES[metric.name][0].format(*columns)
    present = " or ".join(f"{column} is not null" for column in columns)
    if metric.answer == "filtered_row_count":
        return f"count(*) filter ({present})"
    if metric.base in _UNIQUE:
        return _duplicates(metric, columns, present)
    condition = _BAD[metric.base](columns[0], metric.arguments)
    if metric.base not in _JUDGES_NULL:
        condition = f"{columns[0]} is not null and {condition}"
    if metric.answer == "unexpected_count":
        return f"count(*) filter ({condition})"
    return f"min_by({{'v': {columns[0]}}}, source_line, {SAMPLE}) filter ({condition})"


def _duplicates(metric: Metric, columns: list[str], present: str) -> str:
    groups = f"select {', '.join(columns)}, count(*) as n from rows where {present} group by all having n > 1"
    if metric.answer == "unexpected_count":
        return f"(select coalesce(sum(n), 0)::bigint from ({groups}))"
    names = metric.columns
    value = (
        columns[0]
        if len(names) == 1
        else "{" + ", ".join(f"'{n}': {c}" for n, c in zip(names, columns, strict=True)) + "}"
    )
    return f"(select list({{'v': {value}}}) from ({groups} order by all limit {SAMPLE}))"


def _merged(metric: Metric) -> Callable[[Any, Any], Any]:
    if metric.answer == "unexpected_values":
        return lambda a, b: (a + b)[:SAMPLE]
    return _AGGREGATES[metric.name][1] if metric.name in _AGGREGATES else lambda a, b: a + b


def _cleaned(value: Any, metric: Metric) -> Any:
    if metric.answer == "unexpected_values":
        return [item["v"] for item in value or []]
    return value


def _told(value: Any) -> bool:
    return value is not None


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(Decimal(str(value)))
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'::timestamptz"
    return "'" + str(value).replace("'", "''") + "'"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(_literal(value) for value in values)


def _encoded(value: Any) -> dict[str, str]:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, datetime):
        return {"$instant": value.isoformat()}
    raise TypeError(f"{type(value).__name__} in a metric")


def _decoded(item: dict[str, Any]) -> Any:
    if "$decimal" in item:
        return Decimal(item["$decimal"])
    if "$instant" in item:
        return datetime.fromisoformat(item["$instant"])
    return item
