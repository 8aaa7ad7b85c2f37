"""Every supported expectation says the same of generated rows as Great Expectations' own pandas engine."""

from __future__ import annotations

import math
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pytest
from great_expectations.expectations.registry import get_expectation_impl, list_registered_expectation_implementations
from great_expectations.expectations.row_conditions import Column
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from expectations import memory
from expectations.refusals import INSTEAD

START = datetime(2026, 11, 20, tzinfo=UTC)
DOCS = (Path(__file__).parents[2] / "docs" / "expectations.md").read_text(encoding="utf-8")
PHASES = (Phase.explicit, Phase.generate)

SCHEMA = pa.schema(
    [
        ("sku", pa.string()),
        ("location", pa.string()),
        ("quantity", pa.decimal128(18, 4)),
        ("count", pa.int64()),
        ("weight", pa.float64()),
        ("posted_at", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("open", pa.bool_()),
        ("code", pa.string()),
        ("day_text", pa.string()),
        ("source_line", pa.int64()),
    ]
)

ROW = st.fixed_dictionaries(
    {
        "sku": st.sampled_from(["A", "B", "C", "Ü", "", "s1"]),
        "location": st.sampled_from(["web", "store", None]),
        "quantity": st.sampled_from(
            [None, Decimal("-1.5"), Decimal(0), Decimal("2.25"), Decimal(7), Decimal("99999999")]
        ),
        "count": st.integers(-3, 12),
        "weight": st.sampled_from([None, math.nan, -1.0, 0.0, 0.5, 2.0, 2.0, 1e9]),
        "posted_at": st.one_of(st.none(), st.integers(0, 50).map(lambda h: START + timedelta(hours=h))),
        "day": st.sampled_from([None, date(2026, 11, 1), date(2026, 11, 2)]),
        "open": st.sampled_from([True, False]),
        "code": st.sampled_from([None, "", "a", "AB-12", "ab-123", "x\n", "ß", "100%", "a_b"]),
        "day_text": st.sampled_from([None, "2026-11-01", "2026-02-30", "2026-1-5", "01.11.2026", " 2026-11-01", "no"]),
    }
)

EXPECTATIONS = {
    "not null": gxe.ExpectColumnValuesToNotBeNull(column="location"),
    "not null mostly": gxe.ExpectColumnValuesToNotBeNull(column="quantity", mostly=0.7),
    "null": gxe.ExpectColumnValuesToBeNull(column="weight", mostly=0.2),
    "between decimals": gxe.ExpectColumnValuesToBeBetween(column="quantity", min_value=0, max_value=10),
    "between integers": gxe.ExpectColumnValuesToBeBetween(column="count", min_value=0, strict_min=True, max_value=9.5),
    "between floats": gxe.ExpectColumnValuesToBeBetween(column="weight", max_value=2, strict_max=True, mostly=0.5),
    "between instants": gxe.ExpectColumnValuesToBeBetween(column="posted_at", min_value=START + timedelta(hours=5)),
    "in set": gxe.ExpectColumnValuesToBeInSet(column="location", value_set=["web"]),
    "in set of numbers": gxe.ExpectColumnValuesToBeInSet(column="count", value_set=[1, 2, 3.0]),
    "in set of another type": gxe.ExpectColumnValuesToBeInSet(column="count", value_set=["1", "2"]),
    "in set of truths": gxe.ExpectColumnValuesToBeInSet(column="open", value_set=[True]),
    "not in set": gxe.ExpectColumnValuesToNotBeInSet(column="code", value_set=["a", "ß"]),
    "lengths": gxe.ExpectColumnValueLengthsToBeBetween(column="code", min_value=1, max_value=3),
    "length": gxe.ExpectColumnValueLengthsToEqual(column="sku", value=1),
    "regex": gxe.ExpectColumnValuesToMatchRegex(column="code", regex=r"^[A-Za-z]{1,2}(-\d+)?$"),
    "no regex": gxe.ExpectColumnValuesToNotMatchRegex(column="code", regex=r"x$"),
    "any regex": gxe.ExpectColumnValuesToMatchRegexList(column="code", regex_list=["^a", "2"], match_on="any"),
    "all regexes": gxe.ExpectColumnValuesToMatchRegexList(column="code", regex_list=["^a", "2"], match_on="all"),
    "no regexes": gxe.ExpectColumnValuesToNotMatchRegexList(column="code", regex_list=["^a", "%"]),
    "strftime": gxe.ExpectColumnValuesToMatchStrftimeFormat(column="day_text", strftime_format="%Y-%m-%d"),
    "unique in a bucket": gxe.ExpectColumnValuesToBeUnique(column="sku"),
    "unique across buckets": gxe.ExpectColumnValuesToBeUnique(column="code"),
    "unique numbers": gxe.ExpectColumnValuesToBeUnique(column="count", mostly=0.5),
    "compound in a bucket": gxe.ExpectCompoundColumnsToBeUnique(column_list=["sku", "location"]),
    "compound across buckets": gxe.ExpectCompoundColumnsToBeUnique(column_list=["location", "code"]),
    "compound, complete keys": gxe.ExpectCompoundColumnsToBeUnique(
        column_list=["location", "code"], ignore_row_if="any_value_is_missing"
    ),
    "within a record": gxe.ExpectSelectColumnValuesToBeUniqueWithinRecord(column_list=["sku", "code"]),
    "equal columns": gxe.ExpectMulticolumnValuesToBeEqual(column_list=["code", "day_text"]),
    "sum of columns": gxe.ExpectMulticolumnSumToEqual(column_list=["count", "source_line"], sum_total=7),
    "pair equal": gxe.ExpectColumnPairValuesToBeEqual(column_A="sku", column_B="code"),
    "pair equal, both": gxe.ExpectColumnPairValuesToBeEqual(
        column_A="location", column_B="code", ignore_row_if="either_value_is_missing"
    ),
    "pair greater": gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="source_line", column_B="count"),
    "pair greater or equal": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A="count", column_B="source_line", or_equal=True
    ),
    "pair in set": gxe.ExpectColumnPairValuesToBeInSet(
        column_A="sku", column_B="location", value_pairs_set=[("A", "web"), ("B", None)]
    ),
    "z scores": gxe.ExpectColumnValueZScoresToBeLessThan(column="count", threshold=1.2, double_sided=True),
    "z scores on one side": gxe.ExpectColumnValueZScoresToBeLessThan(column="count", threshold=0.7, double_sided=False),
    "outliers": gxe.ExpectColumnValuesToNotBeOutliers(column="count", method="iqr", multiplier=0.5),
    "outliers by deviation": gxe.ExpectColumnValuesToNotBeOutliers(column="weight", method="std", multiplier=1.1),
    "min": gxe.ExpectColumnMinToBeBetween(column="quantity", min_value=0),
    "max": gxe.ExpectColumnMaxToBeBetween(column="count", max_value=9),
    "max of instants": gxe.ExpectColumnMaxToBeBetween(column="posted_at", min_value=START),
    "sum": gxe.ExpectColumnSumToBeBetween(column="count", min_value=10, max_value=100),
    "sum of floats": gxe.ExpectColumnSumToBeBetween(column="weight", min_value=3),
    "mean": gxe.ExpectColumnMeanToBeBetween(column="count", min_value=2, max_value=6),
    "mean of floats": gxe.ExpectColumnMeanToBeBetween(column="weight", max_value=3),
    "deviation": gxe.ExpectColumnStdevToBeBetween(column="count", max_value=4),
    "deviation of floats": gxe.ExpectColumnStdevToBeBetween(column="weight", max_value=4),
    "median": gxe.ExpectColumnMedianToBeBetween(column="count", min_value=2, max_value=6),
    "quantiles": gxe.ExpectColumnQuantileValuesToBeBetween(
        column="count",
        quantile_ranges={"quantiles": [0, 0.1, 0.5, 0.9, 1], "value_ranges": [[-3, 0]] * 2 + [[1, 9]] * 3},
    ),
    "linear quantiles": gxe.ExpectColumnQuantileValuesToBeBetween(
        column="count", quantile_ranges={"quantiles": [0.3], "value_ranges": [[0, 5]]}, allow_relative_error="linear"
    ),
    "distinct count": gxe.ExpectColumnUniqueValueCountToBeBetween(column="location", min_value=2),
    "distinct count in a bucket": gxe.ExpectColumnUniqueValueCountToBeBetween(column="sku", max_value=4),
    "distinct share": gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column="code", min_value=0.5),
    "filled share": gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(column="code", min_value=0.5),
    "distinct in set": gxe.ExpectColumnDistinctValuesToBeInSet(column="code", value_set=["a", "ß"]),
    "distinct contains": gxe.ExpectColumnDistinctValuesToContainSet(column="count", value_set=[1, 2]),
    "distinct equals": gxe.ExpectColumnDistinctValuesToEqualSet(column="location", value_set=["web", "store"]),
    "most common": gxe.ExpectColumnMostCommonValueToBeInSet(column="location", value_set=["web"]),
    "most common with ties": gxe.ExpectColumnMostCommonValueToBeInSet(column="count", value_set=[1, 5], ties_okay=True),
    "rows": gxe.ExpectTableRowCountToBeBetween(min_value=5, max_value=20),
    "rows exactly": gxe.ExpectTableRowCountToEqual(value=7),
    "columns": gxe.ExpectTableColumnsToMatchOrderedList(column_list=SCHEMA.names),
    "columns as a set": gxe.ExpectTableColumnsToMatchSet(column_set=["sku", "colour"], exact_match=False),
    "column count": gxe.ExpectTableColumnCountToEqual(value=11),
    "column count between": gxe.ExpectTableColumnCountToBeBetween(max_value=10),
    "a column": gxe.ExpectColumnToExist(column="sku", column_index=0),
    "type": gxe.ExpectColumnValuesToBeOfType(column="count", type_="int64"),
    "type of objects": gxe.ExpectColumnValuesToBeOfType(column="quantity", type_="Decimal"),
    "another type of objects": gxe.ExpectColumnValuesToBeOfType(column="quantity", type_="str"),
    "type list": gxe.ExpectColumnValuesToBeInTypeList(column="open", type_list=["bool", "int64"]),
    "column type": gxe.ExpectColumnTypeToBe(column="count", type_="int64"),
    "rows that meet a condition": gxe.ExpectColumnValuesToBeBetween(
        column="count", min_value=0, row_condition=Column("location") == "web"
    ),
    "rows that meet a pandas condition": gxe.ExpectColumnMaxToBeBetween(
        column="count", max_value=5, row_condition='location != "web" and count < 9', condition_parser="pandas"
    ),
    "rows in a set": gxe.ExpectColumnValuesToBeUnique(
        column="code", row_condition=Column("sku").is_in(["A", "B"]) | Column("location").is_null()
    ),
    "rows under both conditions": gxe.ExpectColumnMeanToBeBetween(
        column="count", min_value=1, row_condition=(Column("count") > 0) & Column("sku").is_not_in(["A"])
    ),
    "rows counted under a condition": gxe.ExpectTableRowCountToBeBetween(
        min_value=2, row_condition=Column("location").is_not_null()
    ),
}

#: What Great Expectations adds, or gives in its own type or order; the numbers are compared.
_LEFT_OUT = {"unexpected_index_query", "unexpected_index_column_names"}


@pytest.fixture(scope="module")
def batch():
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")


def suite_of_all():
    expectations = []
    for name, expectation in EXPECTATIONS.items():
        copied = expectation.copy()
        copied.meta = {"name": name}
        expectations.append(copied)
    return gx.ExpectationSuite("parity", expectations=expectations)


def by_name(result):
    return {each.expectation_config.meta["name"]: each for each in result.results}


def same(a, b):
    """Whether two results hold the same, nulls being nulls and numbers numbers."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    if _null(a) or _null(b):
        return _null(a) and _null(b)
    if isinstance(a, str | bool | date) or isinstance(b, str | bool | date):
        return a == b
    return float(a) == pytest.approx(float(b), rel=1e-9, abs=1e-9)


def _null(value):
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def told(result):
    """The result; what is missing from a set comes in the order of a set, which is none."""
    found = {k: v for k, v in result.result.items() if k not in _LEFT_OUT}
    if "partial_missing_list" in found:
        found["partial_missing_list"] = sorted(found["partial_missing_list"], key=str)
    return found


def table(rows):
    return pa.Table.from_pylist([{**row, "source_line": n} for n, row in enumerate(rows)], schema=SCHEMA)


NOTHING = dict.fromkeys(SCHEMA.names) | {"sku": "A", "count": 1, "open": True}


@given(st.lists(ROW, min_size=3, max_size=40), st.sampled_from([1, 4]))
@example([], 4)
@example([NOTHING], 1)
@example([NOTHING] * 3, 4)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES, derandomize=True)
def test_parity_with_the_pandas_engine(batch, rows, buckets):
    ours = by_name(memory.validate(table(rows), suite_of_all(), buckets).result)
    form = {
        "result_format": "SUMMARY",
        "partial_unexpected_count": 20,
        "unexpected_index_column_names": ["sku", "location", "source_line"],
    }
    frame = table(rows).to_pandas()
    theirs = by_name(batch.get_batch({"dataframe": frame}).validate(suite_of_all(), result_format=form))
    wrong = {
        name: (told(ours[name]), told(theirs[name]))
        for name in EXPECTATIONS
        if not raised(theirs[name])
        and (ours[name].success != theirs[name].success or not same(told(ours[name]), told(theirs[name])))
    }
    assert not wrong
    assert [name for name in EXPECTATIONS if raised(theirs[name])] == []


def raised(result):
    """Whether Great Expectations met an exception instead of an answer."""
    return bool(result.exception_info.get("raised_exception", True))


def test_every_expectation_is_compared_or_refused():
    types = {each.expectation_type for each in EXPECTATIONS.values()}
    core = {
        name
        for name in list_registered_expectation_implementations()
        if get_expectation_impl(name).__module__.startswith("great_expectations.")
    }
    assert core - types - ONLY_SQL - set(INSTEAD) == set()
    assert types & set(INSTEAD) == set()


#: Great Expectations' pandas engine does not have them; SQL's own `like` is what they mean.
ONLY_SQL = {
    "expect_column_values_to_match_like_pattern",
    "expect_column_values_to_not_match_like_pattern",
    "expect_column_values_to_match_like_pattern_list",
    "expect_column_values_to_not_match_like_pattern_list",
}


def test_like_patterns():
    rows = table([{**NOTHING, "code": code} for code in ["100%", "100x", "a_b", "axb", None]])
    suite = gx.ExpectationSuite(
        "like",
        expectations=[
            gxe.ExpectColumnValuesToMatchLikePattern(column="code", like_pattern="100%"),
            gxe.ExpectColumnValuesToMatchLikePattern(column="code", like_pattern="100!%", escape="!"),
            gxe.ExpectColumnValuesToNotMatchLikePattern(column="code", like_pattern="a_b"),
            gxe.ExpectColumnValuesToMatchLikePatternList(column="code", like_pattern_list=["1%", "a%"], match_on="any"),
            gxe.ExpectColumnValuesToNotMatchLikePatternList(column="code", like_pattern_list=["%x", "a%"]),
        ],
    )
    found = memory.validate(rows, suite).result.results
    assert [each.result["unexpected_count"] for each in found] == [2, 3, 2, 0, 3]


@pytest.mark.parametrize("kind", sorted(INSTEAD))
def test_what_is_refused_is_documented(kind):
    assert f"`{kind}`" in DOCS


@pytest.mark.parametrize("kind", sorted({e.expectation_type for e in EXPECTATIONS.values()} | ONLY_SQL))
def test_what_is_supported_is_documented(kind):
    assert f"`{kind}`" in DOCS
