"""What is judged, what is said about it, and what is refused before the run."""

from __future__ import annotations

import great_expectations as gx
import great_expectations.expectations as gxe
import pyarrow as pa
import pytest

from expectations import judge, memory, results, suites
from expectations.facts import Facts
from reconcilers.errors import ConfigError
from reconcilers.schemas import stock_schema

GOOD = Facts(age_in_hours=1, rejected_share=0, rows_to_last_time=None)


def judged(rows, facts=GOOD):
    table = pa.table(
        {
            "sku": pa.array([r[0] for r in rows], pa.string()),
            "location": pa.array([r[1] for r in rows], pa.string()),
            "quantity": pa.array([r[2] for r in rows], pa.int64()),
            "source_line": pa.array(range(len(rows)), pa.int64()),
        }
    )
    return memory.validate(table, suites.built_in("stock"), facts=facts.values()).result


def test_a_good_snapshot():
    result = judged([("A", "w", 1), ("A", "x", 1), ("B", "w", 0)])
    assert result.success
    assert results.messages(result) == []


@pytest.mark.parametrize(
    ("rows", "facts", "severity", "words"),
    [
        ([("A", "w", 1), ("A", "w", 2)], GOOD, "critical", "no SKU is twice at one location: 2 of 2 rows, e.g. A at w"),
        ([], GOOD, "critical", "the snapshot is not empty: it is 0"),
        ([("A", "w", -2)], GOOD, "warning", "no stock is below zero: 1 of 1 rows, e.g. A at w: -2"),
        ([("A", "w", 1)], Facts(200, 0, None), "critical", "not older than a week: it is 200"),
        ([("A", "w", 1)], Facts(1, 0.2, None), "critical", "at most a tenth of the rows is rejected: it is 0.2"),
        ([("A", "w", 1)], Facts(1, 0, 0.1), "critical", "at least half as many rows as last time: it is 0.1"),
    ],
)
def test_what_is_wrong_is_said(rows, facts, severity, words):
    result = judged(rows, facts)
    assert not result.success
    assert f"not met: {words}" in results.messages(result, severity)


def refused(*expectations):
    suite = gx.ExpectationSuite("mine", expectations=list(expectations))
    with pytest.raises(ConfigError) as told:
        judge.plan(suite, stock_schema())
    return told.value.problems


def test_what_cannot_be_judged_is_refused_by_name_with_what_to_use_instead():
    assert refused(gxe.ExpectColumnValuesToBeIncreasing(column="quantity")) == [
        "suite 'mine': expect_column_values_to_be_increasing of quantity: is refused: rows have no order once they are "
        "bucketed; compare two columns of a row instead"
    ]


def test_every_problem_of_a_suite_is_told_at_once():
    problems = refused(
        gxe.ExpectColumnMaxToBeBetween(column="colour", max_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="sku"),
        gxe.ExpectColumnValuesToMatchRegex(column="sku", regex="(?<=a)b"),
        gxe.ExpectTableRowCountToBeBetween(min_value=1, row_condition="open('x')", condition_parser="pandas"),
    )
    assert len(problems) == 3
    assert "is refused; compare columns with constants" in problems[0]
    assert "no column 'colour'" in problems[1]
    assert "no look-around" in problems[2]


@pytest.mark.parametrize("dataset", sorted(suites.SUITES))
def test_every_expectation_says_why(dataset):
    for expectation in suites.built_in(dataset).expectations:
        assert expectation.description
        assert expectation.meta["reason"]
        assert expectation.severity in ("critical", "warning")
