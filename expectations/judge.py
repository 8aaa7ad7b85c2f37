"""Great Expectations as the judge: the one module that knows its inner names.

`metrics_of` asks every expectation of a suite which metrics it needs; `judge` hands their values
back, and Great Expectations decides and builds a genuine validation result. No row ever goes through
it. A parity test holds this module against its own pandas engine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.execution_engine import PandasExecutionEngine

from expectations import events, stock
from expectations.metrics import SAMPLE, Metric, Values, supported
from reconcilers.errors import ConfigError

#: One file per dataset, one row here.
SUITES = {"stock": stock.suite, "events": events.suite}

_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": SAMPLE}
_RUNTIME = {"result_format": _FORMAT}
_NOT_ARGUMENTS = {"result_format"}


def suite_for(dataset: str) -> gx.ExpectationSuite:
    """The built-in suite of a dataset (`stock`, `events`, `events-2`, …)."""
    return SUITES["stock" if dataset == "stock" else "events"]()


def metrics_of(suite: gx.ExpectationSuite) -> tuple[Metric, ...]:
    """The metrics that the suite needs from the rows, each once; facts about the snapshot left out.

    Raises:
        ConfigError: an expectation needs a metric that cannot be computed exactly.
    """
    needed: dict[str, Metric] = {}
    for expectation in suite.expectations:
        for metric in _dependencies(expectation).values():
            if metric.name.startswith("snapshot."):
                continue
            if not supported(metric):
                raise ConfigError(
                    f"{expectation.expectation_type}: {metric.name} of {', '.join(metric.columns) or 'rows'} "
                    "cannot be computed exactly; docs/expectations.md lists what can"
                )
            needed[metric.key] = metric
    return tuple(needed.values())


def judge(
    suite: gx.ExpectationSuite, values: Values, facts: Mapping[str, Any], about: Mapping[str, Any]
) -> ExpectationSuiteValidationResult:
    """The validation result of a suite, decided by Great Expectations from the values of its metrics.

    A fact that is not known leaves its expectation out. `about` goes into the result's meta.
    """
    engine = PandasExecutionEngine()
    results = []
    for expectation in suite.expectations:
        metrics = _dependencies(expectation)
        if any(facts.get(m.name, 0) is None for m in metrics.values() if m.name.startswith("snapshot.")):
            continue
        given = {
            id_: facts[metric.name] if metric.name in facts else values[metric.key] for id_, metric in metrics.items()
        }
        results.append(expectation.metrics_validate(given, _RUNTIME, engine))
    met = sum(bool(result.success) for result in results)
    return ExpectationSuiteValidationResult(
        success=met == len(results),
        results=results,
        suite_name=suite.name,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(results) - met,
            "success_percent": 100 * met / len(results) if results else None,
        },
        meta={"great_expectations_version": gx.__version__, **about},
    )


def messages(result: ExpectationSuiteValidationResult, severity: str | None = None) -> list[str]:
    """What failed, in words: the expectation, how much, and examples."""
    said = []
    for each in result.results:
        config = each.expectation_config
        if each.success or (severity is not None and config.severity != severity):
            continue
        words = config.description or config.type
        found = each.result
        if "unexpected_count" in found:
            examples = ", ".join(_words(value) for value in found.get("partial_unexpected_list", [])[:3])
            said.append(
                f"not met: {words}: {found['unexpected_count']:,} of {found['element_count']:,} rows"
                + (f", e.g. {examples}" if examples else "")
            )
        else:
            said.append(f"not met: {words}: it is {_words(found.get('observed_value'))}")
    return said


def _dependencies(expectation: Any) -> dict[Any, Metric]:
    """The metrics of an expectation by the id under which it wants their values."""
    asked = expectation.get_validation_dependencies(
        execution_engine=PandasExecutionEngine(), runtime_configuration=_RUNTIME
    ).metric_configurations
    return {configuration.id: _metric(expectation, configuration) for configuration in asked.values()}


def _metric(expectation: Any, configuration: Any) -> Metric:
    domain = configuration.metric_domain_kwargs
    if domain.get("row_condition") is not None:
        raise ConfigError(f"{expectation.expectation_type}: row conditions are not supported yet")
    column = domain.get("column")
    columns = tuple(domain.get("column_list") or ((column,) if column else ()))
    arguments = {k: v for k, v in configuration.metric_value_kwargs.items() if k not in _NOT_ARGUMENTS}
    return Metric(configuration.metric_name, columns, arguments)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return " at ".join(str(part) for part in value.values())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
