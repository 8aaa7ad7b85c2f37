"""Great Expectations decides the same from our metrics as from the rows themselves."""

from __future__ import annotations

import random

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pytest

from expectations import judge
from expectations.facts import Facts
from expectations.metrics import measure, merge_all
from reconcilers.buckets import partition
from reconcilers.errors import ConfigError

EXPECTATIONS = [
    gxe.ExpectColumnValuesToNotBeNull(column="location", severity="critical"),
    gxe.ExpectColumnValuesToBeNull(column="location", mostly=0.5),
    gxe.ExpectColumnValuesToBeBetween(column="quantity", min_value=0, max_value=5),
    gxe.ExpectColumnValuesToBeBetween(column="quantity", min_value=0, strict_min=True, mostly=0.7),
    gxe.ExpectColumnValuesToBeInSet(column="location", value_set=["a", "b"]),
    gxe.ExpectColumnValuesToNotBeInSet(column="location", value_set=["c"]),
    gxe.ExpectColumnValuesToMatchRegex(column="sku", regex="^s[0-4]$"),
    gxe.ExpectColumnValuesToNotMatchRegex(column="sku", regex="9"),
    gxe.ExpectColumnValueLengthsToBeBetween(column="sku", min_value=1, max_value=2),
    gxe.ExpectColumnValuesToBeUnique(column="sku"),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["sku", "location"]),
    gxe.ExpectColumnMinToBeBetween(column="quantity", min_value=0),
    gxe.ExpectColumnMaxToBeBetween(column="quantity", max_value=8),
    gxe.ExpectColumnSumToBeBetween(column="quantity", min_value=10, max_value=100),
    gxe.ExpectTableRowCountToBeBetween(min_value=5, max_value=20),
]

_COMPARED = ("unexpected_count", "element_count", "unexpected_percent", "missing_count", "observed_value")


@pytest.fixture(scope="module")
def batch():
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")


def generated(seed):
    """Between one and thirty rows, with nulls, duplicates and outliers."""
    chance = random.Random(seed)
    return [
        (f"s{chance.randrange(10)}", chance.choice(["a", "b", "c", None]), chance.randrange(-2, 10))
        for _ in range(chance.randrange(1, 30))
    ]


def by_expectation(result):
    return {(r.expectation_config.type, str(sorted(r.expectation_config.kwargs.items()))): r for r in result.results}


@pytest.mark.parametrize("seed", range(4))
def test_parity_with_the_pandas_engine(batch, seed):
    frame = pd.DataFrame(generated(seed), columns=["sku", "location", "quantity"])
    suite = gx.ExpectationSuite("parity", expectations=[e.copy() for e in EXPECTATIONS])
    theirs = batch.get_batch({"dataframe": frame}).validate(suite, result_format="BASIC")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.append_column("source_line", pa.array(range(len(table)), pa.int64()))
    metrics = judge.metrics_of(suite)
    values = merge_all((measure(part, metrics) for part in partition(table, 4)), metrics)
    ours = judge.judge(suite, values, {}, {})
    assert ours.success == theirs.success
    assert ours.statistics == pytest.approx(theirs.statistics)
    expected = {(kind, kwargs.replace("('batch_id', 'pandas-rows'), ", "")): r
                for (kind, kwargs), r in by_expectation(theirs).items()}  # fmt: skip
    assert len(expected) == len(EXPECTATIONS)
    for key, mine in by_expectation(ours).items():
        assert mine.success == expected[key].success, key
        for name in _COMPARED:
            assert mine.result.get(name) == pytest.approx(expected[key].result.get(name)), (key, name)


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
    suite = judge.suite_for("stock")
    return judge.judge(suite, measure(table, judge.metrics_of(suite)), facts.values(), {})


def test_a_good_snapshot():
    result = judged([("A", "w", 1), ("A", "x", 1), ("B", "w", 0)])
    assert result.success
    assert judge.messages(result) == []


@pytest.mark.parametrize(
    ("rows", "facts", "severity", "words"),
    [
        ([("A", "w", 1), ("A", "w", 2)], GOOD, "critical", "no SKU is twice at one location: 2 of 2 rows, e.g. A at w"),
        ([], GOOD, "critical", "the snapshot is not empty: it is 0"),
        ([("A", "w", -2)], GOOD, "warning", "no stock is below zero: 1 of 1 rows, e.g. -2"),
        ([("A", "w", 1)], Facts(200, 0, None), "critical", "not older than a week: it is 200"),
        ([("A", "w", 1)], Facts(1, 0.2, None), "critical", "at most a tenth of the rows is rejected: it is 0.2"),
        ([("A", "w", 1)], Facts(1, 0, 0.1), "critical", "at least half as many rows as last time: it is 0.1"),
    ],
)
def test_what_is_wrong_is_said(rows, facts, severity, words):
    result = judged(rows, facts)
    assert not result.success
    assert f"not met: {words}" in judge.messages(result, severity)


def test_a_metric_that_cannot_be_exact_is_refused_by_name():
    suite = gx.ExpectationSuite("x", expectations=[gxe.ExpectColumnMedianToBeBetween(column="quantity", max_value=1)])
    with pytest.raises(ConfigError, match=r"expect_column_median_to_be_between: column\.median"):
        judge.metrics_of(suite)


@pytest.mark.parametrize("dataset", ["stock", "events", "events-2"])
def test_every_expectation_says_why(dataset):
    for expectation in judge.suite_for(dataset).expectations:
        assert expectation.description
        assert expectation.meta["reason"]
        assert expectation.severity in ("critical", "warning")
