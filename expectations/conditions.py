"""When a row fails: the SQL condition of every map metric, and which rows it is asked of.

Each condition says exactly what Great Expectations' pandas engine says; a parity test holds them
against each other. Regular expressions are RE2's, which cannot backtrack.
"""

from __future__ import annotations

from _strptime import TimeRE  # type: ignore[import-not-found]
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from expectations.columns import Column, column, quoted, text
from expectations.metrics import Metric
from reconcilers.errors import ConfigError

Arguments = Mapping[str, Any]

#: Metrics that look at rows whose column is null, too.
_JUDGES_NULL = {"column_values.nonnull", "column_values.null"}


def failing_condition(metric: Metric, schema: pa.Schema) -> str:
    """The condition of the rows that `metric.base` counts as failing, row condition and ignored rows included.

    Raises:
        ConfigError: a column does not exist or is of a type that the metric does not judge, or an
            argument does not fit.
    """
    columns = [column(schema, name) for name in metric.columns]
    tests = [asked_of(metric, schema)]
    if metric.base in OF_COLUMN:
        if metric.base not in _JUDGES_NULL:
            tests.append(f"{columns[0].sql} is not null")
        tests.append(OF_COLUMN[metric.base](columns[0], metric.arguments))
    else:
        tests.append(OF_COLUMNS[metric.base](columns, metric.arguments))
    return " and ".join(f"({test})" for test in tests if test != "true")


def asked_of(metric: Metric, schema: pa.Schema) -> str:
    """The condition of the rows that the metric looks at."""
    columns = [column(schema, name).sql for name in metric.columns]
    tests = [metric.where] if metric.where else []
    if metric.ignore in ("both_values_are_missing", "all_values_are_missing"):
        tests.append(" or ".join(f"{each} is not null" for each in columns))
    elif metric.ignore in ("either_value_is_missing", "any_value_is_missing"):
        tests.append(" and ".join(f"{each} is not null" for each in columns))
    elif metric.ignore not in ("", "neither", "never"):
        raise ConfigError(f"ignore_row_if {metric.ignore!r} is not known")
    return " and ".join(f"({test})" for test in tests) or "true"


def _between(of: Column, arguments: Arguments, sql: str | None = None) -> str:
    tests = []
    for bound, strict, sign in (("min_value", "strict_min", ">"), ("max_value", "strict_max", "<")):
        if arguments.get(bound) is not None:
            comparison = sign if arguments.get(strict) else f"{sign}="
            tests.append(f"{sql or of.sql} {comparison} {of.bound(arguments[bound], bound)}")
    return f"not ({' and '.join(tests) or 'true'})"


def _in_set(of: Column, arguments: Arguments) -> str:
    if arguments["value_set"] is None:
        return "false"
    known = of.listed(arguments["value_set"])
    return f"{of.sql} not in ({known})" if known else "true"


def _not_in_set(of: Column, arguments: Arguments) -> str:
    known = of.listed(arguments["value_set"] or ())
    return f"{of.sql} in ({known})" if known else "false"


def _length(of: Column, arguments: Arguments) -> str:
    number = Column(f"length of {of.name}", "exact", f"length({_texts(of)})")
    if "value" in arguments:
        return f"{number.sql} <> {number.bound(arguments['value'], 'value')}"
    return _between(number, arguments)


def _matches(of: Column, regex: str) -> str:
    return f"regexp_matches({_texts(of)}, {text(_python_end(regex))})"


def _any_regex(of: Column, arguments: Arguments) -> str:
    joint = " and " if arguments.get("match_on") == "all" else " or "
    return joint.join(_matches(of, regex) for regex in arguments["regex_list"])


def _like(of: Column, pattern: str, arguments: Arguments) -> str:
    escape = f" escape {text(arguments['escape'])}" if arguments.get("escape") else ""
    return f"{_texts(of)} like {text(pattern)}{escape}"


def _any_like(of: Column, arguments: Arguments) -> str:
    joint = " and " if arguments.get("match_on") == "all" else " or "
    return joint.join(_like(of, pattern, arguments) for pattern in arguments["like_pattern_list"])


def _strftime(of: Column, arguments: Arguments) -> str:
    """Python's own expression for the format says which texts have its shape, DuckDB which are dates."""
    form = arguments["strftime_format"]
    try:
        shape = TimeRE().pattern(form)
    except (KeyError, IndexError) as error:
        raise ConfigError(f"strftime_format {form!r} is not supported: use a regex") from error
    column_sql = _texts(of)
    return (
        f"not (regexp_full_match({column_sql}, {text(shape)}, 'i') "
        f"and try_strptime({column_sql}, {text(form)}) is not null)"
    )


def _texts(of: Column) -> str:
    if of.kind != "text":
        raise ConfigError(f"column {of.name!r} does not hold text")
    return of.sql


def _python_end(regex: str) -> str:
    """A `$` at the end of an expression lets a last line break pass, as in Python."""
    escaped = len(regex) - len(regex[:-1].rstrip("\\")) - 1 if regex.endswith("$") else 1
    return regex[:-1] + r"(?:\n?\z)" if regex.endswith("$") and escaped % 2 == 0 else regex


def _comparable(a: Column, b: Column) -> bool:
    return a.kind == b.kind or (a.numeric and b.numeric)


def _pair_equal(columns: list[Column], _: Arguments) -> str:
    a, b = columns
    return f"({a.sql} = {b.sql}) is not true" if _comparable(a, b) else "true"


def _greater(columns: list[Column], arguments: Arguments) -> str:
    a, b = columns
    if not _comparable(a, b):
        raise ConfigError(f"columns {a.name!r} and {b.name!r} cannot be compared")
    return f"({a.sql} {'>=' if arguments.get('or_equal') else '>'} {b.sql}) is not true"


def _pair_in_set(columns: list[Column], arguments: Arguments) -> str:
    if arguments["value_pairs_set"] is None:
        return "false"
    known = [same for pair in arguments["value_pairs_set"] if (same := _same_as(columns, pair))]
    return f"not ({' or '.join(known)})" if known else "true"


def _same_as(columns: list[Column], values: Any) -> str | None:
    tests = []
    for of, value in zip(columns, values, strict=True):
        literal = "null" if value is None else of.literal(value)
        if literal is None:
            return None
        tests.append(f"{of.sql} is not distinct from {literal}")
    return f"({' and '.join(tests)})"


def _same(a: Column, b: Column) -> str:
    both_null = f"({a.sql} is null and {b.sql} is null)"
    return f"({a.sql} is not distinct from {b.sql})" if _comparable(a, b) else both_null


def _all_equal(columns: list[Column], _: Arguments) -> str:
    return " or ".join(f"not {_same(each, columns[0])}" for each in columns[1:]) or "false"


def _unique_within(columns: list[Column], _: Arguments) -> str:
    pairs = [_same(a, b) for n, a in enumerate(columns) for b in columns[n + 1 :]]
    return " or ".join(pairs) or "false"


def _sum_equal(columns: list[Column], arguments: Arguments) -> str:
    for each in columns:
        if not each.numeric:
            raise ConfigError(f"column {each.name!r} does not hold numbers")
    kind = "float" if any(each.kind == "float" for each in columns) else "exact"
    total = Column("sum", kind, "").bound(arguments["sum_total"], "sum_total")
    return f"({' + '.join(each.sql for each in columns)} = {total}) is not true"


#: The condition of a failing row, per metric of one column.
OF_COLUMN: dict[str, Callable[[Column, Arguments], str]] = {
    "column_values.nonnull": lambda of, _: f"{of.sql} is null",
    "column_values.null": lambda of, _: f"{of.sql} is not null",
    "column_values.between": _between,
    "column_values.in_set": _in_set,
    "column_values.not_in_set": _not_in_set,
    "column_values.value_length.between": _length,
    "column_values.value_length.equals": _length,
    "column_values.match_regex": lambda of, a: f"not {_matches(of, a['regex'])}",
    "column_values.not_match_regex": lambda of, a: _matches(of, a["regex"]),
    "column_values.match_regex_list": lambda of, a: f"not ({_any_regex(of, a)})",
    "column_values.not_match_regex_list": lambda of, a: _any_regex(of, {**a, "match_on": "any"}),
    "column_values.match_like_pattern": lambda of, a: f"not ({_like(of, a['like_pattern'], a)})",
    "column_values.not_match_like_pattern": lambda of, a: _like(of, a["like_pattern"], a),
    "column_values.match_like_pattern_list": lambda of, a: f"not ({_any_like(of, a)})",
    "column_values.not_match_like_pattern_list": lambda of, a: _any_like(of, {**a, "match_on": "any"}),
    "column_values.match_strftime_format": _strftime,
    # every value of a column has its type, so all fail or none does; the judge knows which
    "column_values.of_type": lambda _, a: "false" if a["of_type"] else "true",
    "column_values.in_type_list": lambda _, a: "false" if a["of_type"] else "true",
}

#: The same, per metric of several columns.
OF_COLUMNS: dict[str, Callable[[list[Column], Arguments], str]] = {
    "column_pair_values.equal": _pair_equal,
    "column_pair_values.a_greater_than_b": _greater,
    "column_pair_values.in_set": _pair_in_set,
    "multicolumn_values.equal": _all_equal,
    "multicolumn_sum.equal": _sum_equal,
    "select_column_values.unique.within_record": _unique_within,
}

#: Metrics of repeated values: all rows whose value, or combination of values, is there more than once.
UNIQUE = ("column_values.unique", "compound_columns.unique")


def key_of(columns: tuple[str, ...]) -> str:
    """The columns in SQL, as a list."""
    return ", ".join(map(quoted, columns))
