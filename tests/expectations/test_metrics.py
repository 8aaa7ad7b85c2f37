"""Metrics are algebra: buckets in any order and number give what all rows give."""

from __future__ import annotations

import math
import random
import statistics
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations import counts
from expectations.measure import check, measure, supported
from expectations.metrics import MERGES, Metric, finish, from_json, merge_all, to_json
from reconcilers.buckets import partition
from reconcilers.errors import ConfigError
from reconcilers.schemas import INSTANT, quantity_type

FEW = settings(max_examples=12, deadline=None)

START = datetime(2026, 11, 20, tzinfo=UTC)
BETWEEN = {"min_value": 0.0, "max_value": 5.0}

#: What a bucket answers by itself.
METRICS = (
    Metric("table.row_count"),
    Metric("column.min", ("quantity",)),
    Metric("column.max", ("as_of",)),
    Metric("column.sum", ("quantity",)),
    Metric("column.mean", ("quantity",)),
    Metric("column.standard_deviation", ("quantity",)),
    Metric("column.non_null_proportion", ("as_of",)),
    Metric("column_values.nonnull.unexpected_count", ("as_of",)),
    Metric("column_values.between.unexpected_count", ("quantity",), BETWEEN),
    Metric("column_values.in_set.unexpected_count", ("location",), {"value_set": ["a"]}),
    Metric("column_values.between.unexpected_count", ("quantity",), BETWEEN, where="location = 'a'"),
    Metric("column_values.unique.unexpected_count", ("sku",)),
    Metric("compound_columns.unique.unexpected_count", ("sku", "location"), ignore="all_values_are_missing"),
    Metric("column.distinct_values.count", ("sku",)),
    Metric("column.distinct_values.missing_from_column", ("location",), {"value_set": ["a", "z"]}),
    Metric("column.most_common_value", ("sku",), {"value_set": []}),
    Metric("column.unique_proportion", ("sku",)),
    Metric("column.distinct_values.not_in_set", ("sku",), {"value_set": ["s1"]}),
    Metric("keys.unknown", ("sku",), {"other": "previous"}),
    Metric("keys.lost", ("sku",), {"other": "previous"}),
    Metric("column.drift", ("quantity",), {"other": "previous"}),
    Metric("group.shares", ("location", "sku"), {"value_set": ["s1"]}),
)

#: What needs the counts of all buckets.
COUNTED = (
    Metric("column_values.unique.unexpected_count", ("location",)),
    Metric("column.distinct_values.count", ("quantity",)),
    Metric("column.median", ("quantity",)),
    Metric("column.quantile_values", ("quantity",), {"quantiles": [0.25, 0.9], "allow_relative_error": "nearest"}),
)

ROW = st.tuples(
    st.sampled_from([f"s{n}" for n in range(9)] + ["", "s"]),
    st.sampled_from(["a", "b", "ü"]),
    st.sampled_from([Decimal(n) / 10 for n in range(-30, 90, 7)] + [Decimal("99999999999999.9999")]),
    st.one_of(st.none(), st.integers(0, 100)),
)
ROWS = st.lists(ROW, max_size=60)


def table(rows):
    return pa.table(
        {
            "sku": pa.array([r[0] for r in rows], pa.string()),
            "location": pa.array([r[1] for r in rows], pa.string()),
            "quantity": pa.array([r[2] for r in rows], quantity_type()),
            "as_of": pa.array([None if r[3] is None else START + timedelta(hours=r[3]) for r in rows], INSTANT),
            "source_line": pa.array(range(len(rows)), pa.int64()),
        }
    )


PREVIOUS = table([("s1", "a", Decimal(1), None), ("gone", "a", Decimal(50), None)])


@FEW
@given(ROWS, st.sampled_from([1, 2, 8]), st.randoms(use_true_random=False))
def test_merge_is_fold_in_any_order(rows, buckets, chance: random.Random):
    whole = measure(table(rows), METRICS, {"previous": PREVIOUS})
    pairs = list(zip(partition(table(rows), buckets), partition(PREVIOUS, buckets), strict=True))
    parts = [from_json(to_json(measure(part, METRICS, {"previous": other}))) for part, other in pairs]
    chance.shuffle(parts)
    merged = merge_all(parts, METRICS)
    for metric in METRICS:
        assert finish(metric, merged[metric.key]) == finish(metric, whole[metric.key]), metric.name


@FEW
@given(ROWS, st.sampled_from([1, 4]))
def test_counts_spread_over_partitions_say_what_plain_python_says(rows, buckets):
    parts = partition(table(rows), buckets)
    values = {}
    asked = counts.countings(COUNTED, parts[0].schema, "sku")
    spread = [counts.count_values(part, [counting for counting, _ in asked], 4) for part in parts]
    for number, (_, metrics) in enumerate(asked):
        answers = [
            counts.answer(pa.concat_tables(tables), metrics, parts[0].schema)[0]
            for tables in zip(*(tables[number] for tables in spread), strict=True)
        ]
        values |= merge_all(answers, metrics)
    unique, distinct, median, quantiles = (finish(metric, values[metric.key]) for metric in COUNTED)
    places = [r[1] for r in rows]
    quantities = sorted(r[2] for r in rows)
    assert unique == sum(places.count(place) > 1 for place in places)
    assert distinct == len(set(quantities))
    assert median == (None if not rows else pytest.approx(float(statistics.median(quantities))))
    ranks = [round(share * (len(rows) - 1)) for share in (0.25, 0.9)]
    assert quantiles == [float(quantities[rank]) if rows else None for rank in ranks]


@FEW
@given(ROWS)
def test_the_answers_are_those_of_plain_python(rows):
    values = measure(table(rows), METRICS, {"previous": PREVIOUS})
    answers = {(m.name, m.columns, m.where): finish(m, values[m.key]) for m in METRICS}
    quantities = [r[2] for r in rows]
    beyond = [r for r in rows if not 0 <= r[2] <= 5]
    assert answers["table.row_count", (), ""] == len(rows)
    assert answers["column.min", ("quantity",), ""] == min(quantities, default=None)
    assert answers["column.max", ("as_of",), ""] == max((START + timedelta(hours=r[3]) for r in rows if r[3] is not None), default=None)  # fmt: skip  # noqa: E501
    assert answers["column.sum", ("quantity",), ""] == sum(quantities)
    assert answers["column_values.between.unexpected_count", ("quantity",), ""] == len(beyond)
    assert answers["column_values.between.unexpected_count", ("quantity",), "location = 'a'"] == sum(
        r[1] == "a" for r in beyond
    )
    assert answers["column.distinct_values.count", ("sku",), ""] == len({r[0] for r in rows})
    exact = [Fraction(q) for q in quantities]
    if rows:
        assert answers["column.mean", ("quantity",), ""] == float(statistics.mean(exact))
    if len(rows) > 1:
        variance = statistics.variance(exact)
        assert answers["column.standard_deviation", ("quantity",), ""] == math.sqrt(variance)


@FEW
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40), st.integers(1, 39))
def test_floating_point_moments_merge_to_the_last_digits(numbers, cut):
    metrics = [Metric("column.mean", ("x",)), Metric("column.standard_deviation", ("x",))]
    parts = [pa.table({"x": pa.array(part, pa.float64())}) for part in (numbers[:cut], numbers[cut:])]
    merged = merge_all((measure(part, metrics) for part in parts), metrics)
    mean, deviation = (finish(metric, merged[metric.key]) for metric in metrics)
    assert mean == pytest.approx(statistics.fmean(numbers), rel=1e-9, abs=1e-6)
    assert deviation == pytest.approx(statistics.stdev(numbers), rel=1e-6, abs=1e-3)


def test_every_merge_belongs_to_a_metric_that_is_measured():
    from expectations.conditions import OF_COLUMN
    from expectations.keys import FAILING, TOGETHER
    from expectations.measure import AGGREGATES

    assert OF_COLUMN
    assert set(MERGES) <= {*AGGREGATES, *counts.ANSWERS, *FAILING, *TOGETHER}


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (Metric("column.min", ("colour",)), "no column 'colour'"),
        (Metric("column.sum", ("sku",)), "'sku' does not hold numbers"),
        (Metric("column.median", ("location",)), "'location' does not hold numbers"),
        (Metric("column_values.between.unexpected_count", ("quantity",), {"min_value": "many"}), "'many' does not fit"),
        (Metric("column_values.match_regex.unexpected_count", ("sku",), {"regex": "("}), "missing"),
        (Metric("column_values.match_regex.unexpected_count", ("sku",), {"regex": "(?=a)b"}), "invalid perl operator"),
        (Metric("column_values.match_regex.unexpected_count", ("sku",), {"regex": r"(a)\1"}), "invalid escape"),
        (Metric("column_values.match_regex.unexpected_count", ("quantity",), {"regex": "a"}), "does not hold text"),
        (Metric("column_values.match_strftime_format.unexpected_count", ("sku",), {"strftime_format": "%Q"}), "%Q"),
        (Metric("keys.lost", ("colour",), {"other": "previous"}), "no column 'colour'"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(metric, words):
    with pytest.raises(ConfigError, match=words):
        check([metric], table([]).schema)


def test_what_cannot_be_exact_is_not_supported():
    assert not supported(Metric("column_values.increasing.unexpected_count", ("quantity",)))
    assert not supported(Metric("column.partition", ("quantity",)))
