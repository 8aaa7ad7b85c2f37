"""Expectations of Great Expectations that are refused before the run, and what to use instead."""

from __future__ import annotations

_ORDER = "rows have no order once they are bucketed; compare two columns of a row instead"
_PYTHON = "it needs Python for every row"

#: Why, and what instead, by the type of the expectation.
INSTEAD = {
    "expect_column_values_to_be_increasing": _ORDER,
    "expect_column_values_to_be_decreasing": _ORDER,
    "expect_column_values_to_be_dateutil_parseable": (
        f"{_PYTHON}; use expect_column_values_to_match_strftime_format, or a regular expression"
    ),
    "expect_column_values_to_be_json_parseable": (
        f"{_PYTHON}; check it where the text is made, or use a regular expression"
    ),
    "expect_column_values_to_match_json_schema": f"{_PYTHON}; check it where the text is made",
    "expect_column_kl_divergence_to_be_less_than": (
        "its partitions are not exact; use expect_column_drift_to_be_between, or quantiles"
    ),
    "expect_multicolumn_values_to_be_unique": (
        "Great Expectations dropped it; use expect_select_column_values_to_be_unique_within_record"
    ),
    "expect_table_row_count_to_equal_other_table": (
        "there is no other table; use expect_rows_to_last_time_to_be_between, or expect_keys_to_be_known"
    ),
    "expect_query_results_to_match_comparison": "there is no database; use expect_keys_to_be_known",
    "unexpected_rows_expectation": "suites do not run SQL; use a row_condition with an expectation of columns",
}
