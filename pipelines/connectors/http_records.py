"""From records of JSON to raw columns of text: by JMESPath, or every field under its dotted name.

JMESPath is an expression a value, so this is Python for each row; a page at a time, and a chain of plain
names is followed without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import jmespath
import jmespath.exceptions
import pyarrow as pa

from pipelines.connectors.json_lines import flat
from reconcilers.schemas import TEXT

Find = Callable[[Any], Any]

_NAMES = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def finder(expression: str) -> Find:
    """What an expression finds in a value. Raises `ValueError` where it is no JMESPath."""
    try:
        found: Find = jmespath.compile(expression).search
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"{expression!r} is not JMESPath: {' '.join(str(error).split())[:100]}") from None
    return _chain(expression.split(".")) if _NAMES.fullmatch(expression) else found


def _chain(names: list[str]) -> Find:
    if len(names) == 1:
        (only,) = names
        return lambda value: value.get(only) if isinstance(value, dict) else None

    def find(value: Any) -> Any:
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return find


class Columns:
    """The raw columns of records: `fields` names them, or they are what a record has."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = {name: finder(expression) for name, expression in fields.items()}

    def table(self, records: list[Any]) -> pa.Table:
        """A column of text a field. Raises `ValueError` where a record is no object and no field is named."""
        if self.fields:
            return pa.table({name: _texts([find(r) for r in records]) for name, find in self.fields.items()})
        rows = [_flat(record) for record in records]
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: _texts([row.get(name) for row in rows]) for name in names})


def _flat(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"a record is {type(record).__name__}, not an object; name its fields")
    return flat(record)


def _texts(values: list[Any]) -> pa.Array:
    """As text; where all of a kind are plain, Arrow does it at once."""
    try:
        found = pa.array(values)
    except (pa.ArrowException, OverflowError):
        found = None
    if found is not None and (found.type == TEXT or pa.types.is_integer(found.type) or pa.types.is_null(found.type)):
        return found.cast(TEXT)
    return pa.array([_text(value) for value in values], TEXT)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)
