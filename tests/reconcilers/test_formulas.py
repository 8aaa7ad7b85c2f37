"""A cell that a spreadsheet would run becomes text; three ways to write CSV, one rule."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers.formulas import defused, defused_cell, defused_sql


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1-1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "=cmd|' /C calc'!A0"]
)
def test_what_begins_like_a_formula_is_text(cell):
    assert defused_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "12", "-12", "+0.5", "-12.000", "A=1", " =1", "0012", "É/ü", "'=1"])
def test_anything_else_is_as_it_was(cell):
    assert defused_cell(cell) == cell


@given(st.lists(st.none() | st.text("=+-@\t\r\n'.0159 aé", max_size=8), max_size=20))
def test_each_way_says_the_same(cells):
    expected = [None if cell is None else defused_cell(cell) for cell in cells]
    column = pa.array(cells, pa.string())
    assert defused(column).to_pylist() == expected
    with duckdb.connect() as con:
        con.register("written", pa.table({"c": column}))
        assert con.sql(f"select {defused_sql('c')} from written").fetchall() == [(cell,) for cell in expected]
