"""Text that a spreadsheet would run: a cell of a CSV file that begins like a formula gets a `'` before it.

Source: OWASP, "CSV Injection". A plain number may begin with a sign, and stays one.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

#: How a formula begins, and what a number is; both are read by RE2 (Arrow, DuckDB) and Python alike.
FORMULA = r"^[=+\-@\t\r\n]"
NUMBER = r"^[+\-]?[0-9]+(\.[0-9]+)?$"


def defused(text: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A column of text, plain."""
    risky = pc.and_not(pc.match_substring_regex(text, FORMULA), pc.match_substring_regex(text, NUMBER))
    return pc.if_else(risky, pc.binary_join_element_wise("'", text, ""), text)


def defused_sql(column: str) -> str:
    """The same as an expression of DuckDB; `column` is quoted where need be."""
    plain = f"if(regexp_matches({column}, '{NUMBER}'), {column}, '''' || {column})"
    return f"case when regexp_matches({column}, '{FORMULA}') then {plain} else {column} end"


def defused_cell(text: str) -> str:
    """The same for one cell."""
    risky = re.match(FORMULA, text) is not None and re.match(NUMBER, text) is None
    return f"'{text}" if risky else text
