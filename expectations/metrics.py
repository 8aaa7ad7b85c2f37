"""What expectations ask for: metrics, their values, and the algebra of merging them.

A metric is named as Great Expectations names it, but nothing here knows Great Expectations. Buckets
are measured one by one (`expectations.measure`); the values of buckets merge exactly and in any order
(`merge`), and `finish` makes the answer of the merged value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce
from math import log, sqrt
from typing import Any

#: Values of metrics by `Metric.key`; what they hold is told by the kind of the metric (`MERGES`).
Values = dict[str, Any]

#: Python's decimals round to 28 digits unless told otherwise.
_EXACTLY = Context(prec=100)

#: How many failing rows or values a result shows; all failing rows are in `unexpected.parquet`.
SAMPLE = 20

#: The column by whose hash rows are spread over buckets: all rows with one value of it are in one bucket.
BUCKETED_BY = "sku"


@dataclass(frozen=True)
class Metric:
    """One metric: its name, its columns and arguments, and the rows that it looks at.

    Args:
        name: as Great Expectations has it, such as `column_values.between.unexpected_count`.
        columns: the columns that it reads.
        arguments: `min_value`, `value_set` and so on.
        where: a condition in SQL that its rows meet; all rows if empty.
        ignore: which rows of a pair or list of columns are left out, such as `both_values_are_missing`.
    """

    name: str
    columns: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    where: str = ""
    ignore: str = ""

    @property
    def key(self) -> str:
        """What identifies the metric among those of a suite."""
        asked = [self.name, self.columns, self.arguments, self.where, self.ignore]
        return json.dumps(asked, default=str, sort_keys=True)

    @property
    def base(self) -> str:
        """The map metric that a count of failing rows belongs to."""
        return self.name.rsplit(".", 1)[0]

    @property
    def answer(self) -> str:
        """What is asked about it: `unexpected_count`, `filtered_row_count` and so on."""
        return self.name.rsplit(".", 1)[-1]


def merge(first: Values, second: Values, metrics: Iterable[Metric]) -> Values:
    """The values of two disjoint sets of rows as those of both together; None is nothing known."""

    def both(metric: Metric) -> Any:
        a, b = first[metric.key], second[metric.key]
        return b if a is None else a if b is None else MERGES.get(metric.name, _add)(a, b)

    return {m.key: both(m) for m in metrics if m.key in first}


def merge_all(values: Iterable[Values], metrics: Iterable[Metric]) -> Values:
    """`merge` over any number of buckets."""
    asked = list(metrics)
    return reduce(lambda a, b: merge(a, b, asked), values)


def finish(metric: Metric, value: Any) -> Any:
    """The answer to a metric out of its merged value."""
    last_step = _FINISHES.get(metric.name)
    return value if last_step is None else last_step(value, metric)


def failing(metric: Metric, value: Any) -> int:
    """How many rows or keys the metric counts as failing; 0 for metrics that count something else."""
    if isinstance(value, Mapping) and "part" in value and "sample" in value:
        return int(value["part"])
    if metric.answer != "unexpected_count":
        return 0
    return int(finish(metric, value))


def to_json(values: Values) -> str:
    """Values as text that `from_json` reads back exactly."""
    return json.dumps(values, default=_encoded)


def from_json(text: str | bytes) -> Values:
    """What `to_json` wrote."""
    values: Values = json.loads(text, object_hook=_decoded)
    return values


def mean_of(value: Mapping[str, Any]) -> float | None:
    """The mean of merged moments; None without values.

    Exact numbers have `n`, the `sum` and the sum of `squares` as integers in units of 10^-`scale`;
    floating point numbers have `n`, `mean` and `m2`, the sum of squared deviations.
    """
    if not value["n"]:
        return None
    if "m2" in value:
        return float(value["mean"])
    return float(Fraction(value["sum"], 10 ** value["scale"] * value["n"]))


def deviation_of(value: Mapping[str, Any]) -> float | None:
    """The sample standard deviation of merged moments; None with fewer than two values."""
    n = value["n"]
    if n < 2:
        return None
    if "m2" in value:
        return sqrt(value["m2"] / (n - 1))
    spread = Fraction(value["squares"] * n - value["sum"] ** 2, 10 ** (2 * value["scale"]) * n * (n - 1))
    return sqrt(spread)


def _add(a: Any, b: Any) -> Any:
    return _EXACTLY.add(a, b) if isinstance(a, Decimal) else a + b


def _moments(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Exact sums add; of floating point numbers the mean and squared deviations merge (Chan et al., 1979)."""
    if "m2" not in a:
        return {"scale": a["scale"], **{name: a[name] + b[name] for name in ("n", "sum", "squares")}}
    n = a["n"] + b["n"]
    if not n:
        return a
    shift = b["mean"] - a["mean"]
    return {
        "n": n,
        "mean": (a["n"] * a["mean"] + b["n"] * b["mean"]) / n,
        "m2": a["m2"] + b["m2"] + shift * shift * a["n"] * b["n"] / n,
    }


def _each(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Counts add; the first values of both are the first values of either."""
    return {
        name: sorted(a[name] + b[name], key=str)[:SAMPLE] if isinstance(a[name], list) else a[name] + b[name]
        for name in a
    }


def _first(a: list[Any], b: list[Any]) -> list[Any]:
    return sorted(a + b)[:SAMPLE]


def _either(a: list[bool], b: list[bool]) -> list[bool]:
    return [x or y for x, y in zip(a, b, strict=True)]


def _most_common(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Of disjoint sets of values, the more frequent ones, or those of both."""
    if a["n"] != b["n"]:
        return a if a["n"] > b["n"] else b
    return {
        "n": a["n"],
        "ties": a["ties"] + b["ties"],
        "wanted": sorted(a["wanted"] + b["wanted"], key=str),
        "sample": sorted(a["sample"] + b["sample"], key=str)[:SAMPLE],
    }


def _columnwise(a: list[list[int]], b: list[list[int]]) -> list[list[int]]:
    return [[x + y for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]


def _groupwise(a: dict[str, list[int]], b: dict[str, list[int]]) -> dict[str, list[int]]:
    groups = dict.fromkeys([*a, *b])
    return {g: [x + y for x, y in zip(a.get(g, [0, 0]), b.get(g, [0, 0]), strict=True)] for g in groups}


#: How two values become one, where they do not simply add up.
MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "column.min": min,
    "column.max": max,
    "column.mean": _moments,
    "column.standard_deviation": _moments,
    "column.non_null_proportion": _each,
    "column.unique_proportion": _each,
    "column.distinct_values.not_in_set": _first,
    "column.distinct_values.missing_from_column": _either,
    "column.distinct_values.missing_from_column.count": _either,
    "column.most_common_value": _most_common,
    "keys.lost": _each,
    "keys.unknown": _each,
    "lines.inconsistent": _each,
    "lines.unbalanced": _each,
    "column.drift": _columnwise,
    "group.shares": _groupwise,
}


def _missing(present: list[bool], metric: Metric) -> list[Any]:
    wanted = dict.fromkeys(metric.arguments["value_set"])
    return [value for value, there in zip(wanted, present, strict=True) if not there]


def _share(value: dict[str, Any], _: Metric) -> float:
    return value["part"] / value["whole"] if value["whole"] else 0


def _modes(value: dict[str, Any], _: Metric) -> list[Any]:
    """All of them, or, of very many, those that are asked for and a sample of the rest."""
    others = [each for each in value["sample"] if each not in value["wanted"]]
    return sorted([*value["wanted"], *others][: max(SAMPLE, len(value["wanted"]))]) if value["n"] else []


def _drift(histograms: list[list[int]], _: Metric) -> float:
    """The population stability index of two histograms; an empty cell counts as half a row."""
    now, before = ([max(count, 0.5) / max(sum(cells), 1) for count in cells] for cells in histograms)
    return sum((p - q) * log(p / q) for p, q in zip(now, before, strict=True))


#: What the merged value still needs to become the answer.
_FINISHES: dict[str, Callable[[Any, Metric], Any]] = {
    "column.mean": lambda value, _: mean_of(value),
    "column.standard_deviation": lambda value, _: deviation_of(value),
    "column.non_null_proportion": _share,
    "column.unique_proportion": _share,
    "column.distinct_values.missing_from_column": _missing,
    "column.distinct_values.missing_from_column.count": lambda value, metric: len(_missing(value, metric)),
    "column.most_common_value": _modes,
    "column_values.z_score.under_threshold.unexpected_count": lambda value, _: value["count"],
    "column_values.not_outliers.unexpected_count": lambda value, _: value["count"],
    "column.drift": _drift,
}


def _encoded(value: Any) -> dict[str, str]:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, datetime):
        return {"$instant": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    raise TypeError(f"{type(value).__name__} in a metric")


def _decoded(item: dict[str, Any]) -> Any:
    if "$decimal" in item:
        return Decimal(item["$decimal"])
    if "$instant" in item:
        return datetime.fromisoformat(item["$instant"])
    if "$date" in item:
        return date.fromisoformat(item["$date"])
    return item
