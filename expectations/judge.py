"""Great Expectations as the judge: the one module that knows its inner names.

`plan` asks every expectation of a suite which metrics it needs; `Plan.judge` hands their values back,
and Great Expectations decides and builds a genuine validation result. No row ever goes through it. A
parity test holds this module against its own pandas engine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import pandas as pd
import pyarrow as pa
from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.type_comparison import native_type_type_map
from pandas.core.dtypes import dtypes

from expectations import refusals
from expectations.listing import KEY, ORIGIN, Failing, Samples
from expectations.measure import check, supported
from expectations.metrics import BUCKETED_BY, SAMPLE, Metric, Values, failing, finish
from expectations.row_conditions import to_sql
from reconcilers.errors import ConfigError

#: What is answered from the failing rows instead of an aggregate.
_FROM_ROWS = ("unexpected_values", "unexpected_index_list", "unexpected_index_query")
_OF_SCHEMA = ("table.columns", "table.column_types", "table.column_count")
_TYPED = ("column_values.of_type", "column_values.in_type_list")
_COUNTED_SETS = ("column.most_common_value",)


@dataclass(frozen=True)
class Asked:
    """An expectation with what it wants to know: Great Expectations' metric configurations and our metrics."""

    expectation: Any
    configurations: tuple[tuple[Any, Metric], ...]


@dataclass(frozen=True)
class Plan:
    """A suite that can be judged of rows with this schema; `plan` makes it."""

    suite: gx.ExpectationSuite
    schema: pa.Schema
    engine: PandasExecutionEngine
    asked: tuple[Asked, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What has to be measured of the rows, each once; facts and questions about the schema left out."""
        needed = {m.key: m for each in self.asked for _, m in each.configurations if _of_rows(m)}
        return tuple(needed.values())

    def failing(self, values: Values) -> list[Failing]:
        """The metrics that count failing rows or keys and found some, with the expectation of each."""
        found: dict[tuple[str, int], Failing] = {}
        for number, each in enumerate(self.asked, 1):
            for metric in (m for _, m in each.configurations if _of_rows(m)):
                value = values.get(metric.key)
                if value is not None and _lists(each.expectation, metric) and failing(metric, value):
                    labels = tuple(_labels(each.expectation, number).items())
                    found[metric.key, number] = Failing(metric, value, labels)
        return list(found.values())

    def judge(
        self, values: Values, samples: Samples, facts: Mapping[str, Any], about: Mapping[str, Any]
    ) -> ExpectationSuiteValidationResult:
        """The validation result, decided by Great Expectations from the values of the metrics.

        Args:
            values: of `metrics`, by their keys, of all buckets merged.
            samples: failing rows, by the keys of the metrics that count them.
            facts: what is known of the snapshot; an expectation about one that is not known is left out.
            about: goes into the result's meta.
        """
        results = []
        for each in self.asked:
            if any(_unknown(metric, values, facts) for _, metric in each.configurations):
                continue
            given = {c.id: _answer(c, m, values, samples, facts, self.engine) for c, m in each.configurations}
            results.append(each.expectation.metrics_validate(given, _runtime(self.schema), self.engine))
        met = sum(bool(result.success) for result in results)
        return ExpectationSuiteValidationResult(
            success=met == len(results),
            results=results,
            suite_name=self.suite.name,
            statistics={
                "evaluated_expectations": len(results),
                "successful_expectations": met,
                "unsuccessful_expectations": len(results) - met,
                "success_percent": 100 * met / len(results) if results else None,
            },
            meta={"great_expectations_version": gx.__version__, **about},
        )


def plan(suite: gx.ExpectationSuite, schema: pa.Schema, keyed_by: Sequence[str] = (BUCKETED_BY,)) -> Plan:
    """What has to be measured for a suite of rows with this schema, spread over buckets by `keyed_by`.

    Raises:
        ConfigError: every expectation that cannot be judged exactly, a line each: a column does not
            exist, an argument does not fit, or what to use instead of an expectation that is refused.
    """
    engine = _engine(schema)
    asked, problems = [], []
    for expectation in suite.expectations:
        try:
            asked.append(_asked(expectation, schema, engine))
        except ConfigError as error:
            problems.append(_problem(suite, expectation, error))
    found = Plan(suite, schema, engine, tuple(asked))
    try:
        check(found.metrics, schema, keyed_by)
    except ConfigError:
        problems += _unfit(found, keyed_by)
    if problems:
        raise ConfigError(problems)
    return found


def _unfit(plan_: Plan, keyed_by: Sequence[str]) -> Iterator[str]:
    """The expectations whose metrics do not fit the rows, one by one."""
    for each in plan_.asked:
        try:
            check([m for _, m in each.configurations if _of_rows(m)], plan_.schema, keyed_by)
        except ConfigError as error:
            yield _problem(plan_.suite, each.expectation, error)


def _problem(suite: gx.ExpectationSuite, expectation: Any, error: ConfigError) -> str:
    return f"suite {suite.name!r}: {_named(expectation)}: {error}"


def _of_rows(metric: Metric) -> bool:
    return metric.name not in _OF_SCHEMA and not metric.name.startswith("snapshot.")


def _lists(expectation: Any, metric: Metric) -> bool:
    """Whether the rows of the metric are what fails; nulls are only counted, unless they are what is judged."""
    return metric.base != "column_values.nonnull" or "not_be_null" in expectation.expectation_type


def _labels(expectation: Any, number: int) -> dict[str, Any]:
    return {
        "expectation": expectation.expectation_type,
        "number": number,
        "severity": str(getattr(expectation.severity, "value", expectation.severity)),
        "description": expectation.description or "",
    }


def _runtime(schema: pa.Schema) -> dict[str, Any]:
    identity = [name for name in (*KEY, *ORIGIN) if name in schema.names]
    form = {"result_format": "SUMMARY", "partial_unexpected_count": SAMPLE}
    return {"result_format": form | ({"unexpected_index_column_names": identity} if identity else {})}


def _engine(schema: pa.Schema) -> PandasExecutionEngine:
    """An engine that has the columns, but no rows: some expectations ask it for types."""
    plain = pa.schema(
        [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema]
    )
    return PandasExecutionEngine(batch_data_dict={"rows": plain.empty_table().to_pandas()})


def _asked(expectation: Any, schema: pa.Schema, engine: PandasExecutionEngine) -> Asked:
    """What an expectation wants to know.

    Raises:
        ConfigError: it is refused, or a metric cannot be computed exactly.
    """
    instead = refusals.INSTEAD.get(expectation.expectation_type)
    if instead is not None:
        raise ConfigError(f"is refused: {instead}")
    wanted = expectation.get_validation_dependencies(execution_engine=engine, runtime_configuration=_runtime(schema))
    pairs = [(c, _metric(expectation, c, schema)) for c in wanted.metric_configurations.values()]
    for _, metric in pairs:
        if _of_rows(metric) and not supported(metric):
            raise ConfigError(f"{metric.name} cannot be computed exactly; docs/expectations.md lists what can")
    return Asked(expectation, tuple(pairs))


def _metric(expectation: Any, configuration: Any, schema: pa.Schema) -> Metric:
    """The metric behind a configuration; of failing values, the count that says whether there are any."""
    domain = configuration.metric_domain_kwargs
    arguments = {k: v for k, v in configuration.metric_value_kwargs.items() if k not in ("result_format", "limit")}
    single = [domain[name] for name in ("column", "column_A", "column_B") if domain.get(name) is not None]
    columns = tuple(arguments.pop("column_list", None) or domain.get("column_list") or single)
    condition = domain.get("row_condition")
    if condition is not None and not isinstance(condition, str | dict):
        condition = condition.dict()
    name, dot, answer = configuration.metric_name.rpartition(".")
    if answer in _FROM_ROWS:
        answer = "unexpected_count"
    if name in _TYPED:
        arguments = {"of_type": _of_type(schema, columns[0], arguments)}
    if configuration.metric_name in _COUNTED_SETS:
        arguments["value_set"] = list(getattr(expectation, "value_set", None) or ())
    return Metric(
        f"{name}{dot}{answer}",
        columns,
        arguments,
        where="" if condition is None else to_sql(condition, schema),
        ignore=domain.get("ignore_row_if") or "",
    )


def _of_type(schema: pa.Schema, name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the values of a column that pandas holds as objects are of a type, or of one in a list."""
    example = date(2026, 1, 1) if pa.types.is_date(schema.field(name).type) else Decimal(0)
    wanted: list[type] = []
    for text in arguments.get("type_list") or [arguments["type_"]]:
        wanted.extend(native_type_type_map(text) or ())
        for known in (getattr(pd, text, None), getattr(dtypes, text, None)):
            if isinstance(known, type):
                wanted.append(known)
    return isinstance(example, tuple(wanted))


def _unknown(metric: Metric, values: Values, facts: Mapping[str, Any]) -> bool:
    """Whether there is nothing to judge: a fact that is not known, or nothing to compare with."""
    if metric.name.startswith("snapshot."):
        return facts.get(metric.name) is None
    return metric.arguments.get("other") is not None and values.get(metric.key) is None


def _answer(
    configuration: Any,
    metric: Metric,
    values: Values,
    samples: Samples,
    facts: Mapping[str, Any],
    engine: PandasExecutionEngine,
) -> Any:
    asked = configuration.metric_name.rsplit(".", 1)[-1]
    rows = samples.get(metric.key, [])
    if asked == "unexpected_values":
        return [_found(row, metric) for row in rows]
    if asked == "unexpected_index_list":
        return rows
    if asked == "unexpected_index_query":
        return None
    if metric.name in _OF_SCHEMA:
        return _of_schema(metric.name, engine)
    if metric.name in facts:
        return facts[metric.name]
    return finish(metric, values[metric.key])


def _found(row: Mapping[str, Any], metric: Metric) -> Any:
    """What failed in a row, as Great Expectations' engines give it."""
    if len(metric.columns) == 1 and metric.base.startswith("column_values."):
        return row[metric.columns[0]]
    if metric.base.startswith("column_pair_values."):
        return tuple(row[name] for name in metric.columns)
    return {name: row[name] for name in metric.columns}


def _of_schema(name: str, engine: PandasExecutionEngine) -> Any:
    frame = engine.batch_manager.active_batch_data.dataframe
    types = [{"name": column, "type": type_} for column, type_ in zip(frame.columns, frame.dtypes, strict=True)]
    return {
        "table.columns": [each["name"] for each in types],
        "table.column_types": types,
        "table.column_count": len(types),
    }[name]


def _named(expectation: Any) -> str:
    columns: Iterable[str] = getattr(expectation, "column_list", None) or filter(
        None, (getattr(expectation, name, None) for name in ("column", "column_A", "column_B"))
    )
    of = ", ".join(columns)
    return f"{expectation.expectation_type}{f' of {of}' if of else ''}"
