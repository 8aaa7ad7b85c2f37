"""The in-memory twin of the validation pipeline: any table against any suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import great_expectations as gx
import pyarrow as pa

from expectations import counts, judge
from expectations.listing import SCHEMA, Samples, list_failing, merge_samples
from expectations.measure import Others, measure
from expectations.metrics import BUCKETED_BY, Metric, Values, merge_all
from reconcilers.buckets import partition


@dataclass(frozen=True)
class Validated:
    """What Great Expectations decided, and all failing rows (`expectations.listing.SCHEMA`)."""

    result: Any
    unexpected: pa.Table


def validate(
    rows: pa.Table,
    suite: gx.ExpectationSuite,
    buckets: int = 1,
    facts: Mapping[str, Any] | None = None,
    others: Others | None = None,
) -> Validated:
    """Judge rows that are in memory; the outcome does not depend on the number of buckets.

    Raises:
        ConfigError: an expectation cannot be judged exactly, a line each.
    """
    plan = judge.plan(suite, rows.schema)
    by = BUCKETED_BY if BUCKETED_BY in rows.column_names else None
    parts = partition(rows, buckets) if by else [rows]
    spread = {name: partition(other, buckets) if by else [other] for name, other in (others or {}).items()}
    beside = [{name: tables[n] for name, tables in spread.items()} for n in range(len(parts))]
    values, repeated = _measured(parts, plan.metrics, beside, by)
    failing = [replace(each, repeated=repeated.get(each.metric.key)) for each in plan.failing(values)]
    tables = [SCHEMA.empty_table()]
    samples: Samples = {}
    for part, found in zip(parts, beside, strict=True) if failing else ():
        listed, first = list_failing(part, failing, found, by)
        tables.append(listed)
        samples = merge_samples(samples, first)
    return Validated(plan.judge(values, samples, facts or {}, {}), pa.concat_tables(tables))


def measured(rows: pa.Table, metrics: Iterable[Metric]) -> Values:
    """The values of metrics of rows that are in memory."""
    by = BUCKETED_BY if BUCKETED_BY in rows.column_names else None
    values, _ = _measured([rows], tuple(metrics), [{}], by)
    return values


def _measured(
    parts: list[pa.Table], metrics: tuple[Metric, ...], beside: list[dict[str, pa.Table]], by: str | None
) -> tuple[Values, dict[str, pa.Table]]:
    """The values of all parts, and by `Metric.key` the values that repeat across them."""
    schema = parts[0].schema
    values = merge_all((measure(p, metrics, o, by) for p, o in zip(parts, beside, strict=True)), metrics)
    repeated: dict[str, pa.Table] = {}
    asked = counts.countings(metrics, schema, by)
    spread = [counts.count_values(part, [counting for counting, _ in asked], len(parts)) for part in parts]
    for number, (_, counted) in enumerate(asked):
        buckets = [tables[number] for tables in spread]
        found = [counts.answer(pa.concat_tables(tables), counted, schema) for tables in zip(*buckets, strict=True)]
        values |= merge_all((answers for answers, _ in found), counted)
        repeats = [table for _, table in found if table is not None]
        if repeats:
            repeated |= dict.fromkeys((metric.key for metric in counted), pa.concat_tables(repeats))
    return values, repeated
