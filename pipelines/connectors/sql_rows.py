"""Rows of a Python database driver as Arrow tables: exact, of bounded size, text where types differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipelines.connectors.sql_session import distinct

#: Rows fetched at a time.
_ROWS = 50_000


def tables(cursor: Any) -> Iterator[pa.Table]:
    """What a cursor has executed; the first table is empty and has the columns."""
    if cursor.description is None:
        return
    names = distinct([column[0] for column in cursor.description])
    yield pa.table({name: pa.array([], pa.string()) for name in names})
    while rows := cursor.fetchmany(_ROWS):
        yield pa.table([_column(values) for values in zip(*rows, strict=True)], names=names)


def _column(values: tuple[Any, ...]) -> pa.Array:
    """Values of one type as what they are, any others as text."""
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([_text(value) for value in values], pa.string())
    if _plain(array.type):
        return array
    return pa.array([_text(value) for value in values], pa.string())


def _plain(kind: pa.DataType) -> bool:
    told = pa.types
    numeric = told.is_integer(kind) or told.is_floating(kind) or told.is_decimal128(kind)
    return bool(
        numeric
        or any(
            test(kind) for test in (told.is_string, told.is_boolean, told.is_timestamp, told.is_date32, told.is_null)
        )
    )


def _text(value: Any) -> str | None:
    """A value as text; bytes as hexadecimal digits."""
    if value is None:
        return None
    return value.hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)
