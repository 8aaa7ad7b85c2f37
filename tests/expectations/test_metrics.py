"""Metrics are algebra: buckets in any order and number give what all rows give."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.metrics import SAMPLE, Metric, from_json, measure, merge_all, supported, to_json
from reconcilers.buckets import partition
from reconcilers.errors import ConfigError
from reconcilers.schemas import INSTANT, quantity_type

START = datetime(2026, 11, 20, tzinfo=UTC)

METRICS = (
    Metric("table.row_count"),
    Metric("column.min", ("quantity",)),
    Metric("column.max", ("as_of",)),
    Metric("column.sum", ("quantity",)),
    Metric("column_values.nonnull.unexpected_count", ("as_of",)),
    Metric("column_values.between.unexpected_count", ("quantity",), {"min_value": 0.0, "max_value": 5.0}),
    Metric("column_values.between.unexpected_values", ("quantity",), {"min_value": 0.0, "max_value": 5.0}),
    Metric("column_values.in_set.unexpected_count", ("location",), {"value_set": ["a"]}),
    Metric("column_values.match_regex.unexpected_count", ("sku",), {"regex": "^s[0-4]"}),
    Metric("column_values.value_length.between.unexpected_count", ("sku",), {"max_value": 1}),
    Metric("compound_columns.unique.unexpected_count", ("sku", "location")),
    Metric("compound_columns.unique.filtered_row_count", ("sku", "location")),
)

ROWS = st.lists(
    st.tuples(
        st.sampled_from([f"s{n}" for n in range(9)] + ["", "s"]),
        st.sampled_from(["a", "b", "ü"]),
        st.integers(-3, 9),
        st.one_of(st.none(), st.integers(0, 100)),
    ),
    max_size=60,
)


def table(rows):
    return pa.table(
        {
            "sku": pa.array([r[0] for r in rows], pa.string()),
            "location": pa.array([r[1] for r in rows], pa.string()),
            "quantity": pa.array([Decimal(r[2]) for r in rows], quantity_type()),
            "as_of": pa.array([None if r[3] is None else START + timedelta(hours=r[3]) for r in rows], INSTANT),
            "source_line": pa.array(range(len(rows)), pa.int64()),
        }
    )


def counts(values):
    """Everything but the samples, whose rows depend on where the buckets are."""
    return {key: value for key, value in values.items() if "unexpected_values" not in key}


@given(ROWS, st.sampled_from([1, 2, 8]), st.randoms(use_true_random=False))
def test_merge_is_fold_in_any_order(rows, buckets, chance: random.Random):
    whole = measure(table(rows), METRICS)
    parts = [from_json(to_json(measure(part, METRICS))) for part in partition(table(rows), buckets)]
    chance.shuffle(parts)
    assert counts(merge_all(parts, METRICS)) == counts(whole)


@given(ROWS)
def test_the_counts_are_those_of_plain_python(rows):
    values = measure(table(rows), METRICS)
    keys = [(r[0], r[1]) for r in rows]
    expected = {
        METRICS[0]: len(rows),
        METRICS[1]: min((Decimal(r[2]) for r in rows), default=None),
        METRICS[2]: max((START + timedelta(hours=r[3]) for r in rows if r[3] is not None), default=None),
        METRICS[3]: sum(r[2] for r in rows) if rows else None,
        METRICS[4]: sum(r[3] is None for r in rows),
        METRICS[5]: sum(not 0 <= r[2] <= 5 for r in rows),
        METRICS[7]: sum(r[1] != "a" for r in rows),
        METRICS[8]: sum(r[0] not in [f"s{n}" for n in range(5)] for r in rows),
        METRICS[9]: sum(len(r[0]) > 1 for r in rows),
        METRICS[10]: sum(keys.count(key) > 1 for key in keys),
        METRICS[11]: len(rows),
    }
    for metric, value in expected.items():
        assert values[metric.key] == value, metric.name
    sample = values[METRICS[6].key]
    assert len(sample) == min(SAMPLE, expected[METRICS[5]])
    assert all(not 0 <= value <= 5 for value in sample)


def test_a_column_that_does_not_exist():
    with pytest.raises(ConfigError, match="no column 'colour'"):
        measure(table([]), [Metric("column.min", ("colour",))])


@pytest.mark.parametrize(
    ("metric", "yes"),
    [
        (Metric("column_values.unique.unexpected_count", ("sku",)), True),
        (Metric("column_values.unique.unexpected_count", ("location",)), False),
        (Metric("compound_columns.unique.unexpected_count", ("ref", "sku")), True),
        (Metric("column.quantile_values", ("quantity",)), False),
        (Metric("table.row_count"), True),
    ],
)
def test_what_is_exact_and_what_is_refused(metric, yes):
    assert supported(metric) is yes
