"""Columns in SQL: how a column is read, and how a value of a suite is written beside it, by its type."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from reconcilers.errors import ConfigError


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, what its values are, and the SQL that reads it.

    `kind` is `text`, `exact` (integers and decimals), `float`, `bool`, `instant`, `local` (an instant
    without a zone), `date` or `other`. A NaN is read as null, as pandas does. `scale` is the number of
    decimal places of an exact number, None for numbers of more than 18 digits.
    """

    name: str
    kind: str
    sql: str
    scale: int | None = None

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in ("exact", "float")

    def literal(self, value: Any) -> str | None:
        """The value in SQL, comparable with this column; None where no value of the column can equal it."""
        try:
            return _LITERALS[self.kind](value)
        except (KeyError, TypeError, ValueError, InvalidOperation):
            return None

    def bound(self, value: Any, name: str) -> str:
        """`literal` of a bound, which has to fit.

        Raises:
            ConfigError: it is of another type than the column.
        """
        literal = self.literal(value)
        if literal is None:
            raise ConfigError(f"{name} {value!r} does not fit column {self.name!r}, which holds {_WORDS[self.kind]}")
        return literal

    def listed(self, values: Iterable[Any]) -> str | None:
        """The values in SQL for `in (…)`, those that cannot occur left out; None if none is left."""
        known = [literal for value in values if value is not None and (literal := self.literal(value)) is not None]
        return ", ".join(known) or None


def column(schema: pa.Schema, name: str) -> Column:
    """The column of a schema.

    Raises:
        ConfigError: there is none of that name.
    """
    index = schema.get_field_index(name)
    if index < 0:
        raise ConfigError(f"no column {name!r}; there are: {', '.join(schema.names)}")
    type_ = schema.field(index).type
    kind = _kind(type_)
    sql = quoted(name)
    return Column(name, kind, f"nullif({sql}, 'nan'::double)" if kind == "float" else sql, _scale(type_))


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"


def _scale(type_: pa.DataType) -> int | None:
    if pa.types.is_decimal(type_):
        return int(type_.scale) if type_.precision <= 18 else None
    return 0 if pa.types.is_integer(type_) and type_ != pa.uint64() else None


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_timestamp(type_):
        return "local" if type_.tz is None else "instant"
    for kind, tests in _TYPES.items():
        if any(test(type_) for test in tests):
            return kind
    return "other"


_TYPES = {
    "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "exact": (pa.types.is_integer, pa.types.is_decimal),
    "float": (pa.types.is_floating,),
    "bool": (pa.types.is_boolean,),
    "date": (pa.types.is_date,),
}

_WORDS = {
    "text": "text",
    "exact": "exact numbers",
    "float": "floating point numbers",
    "bool": "true and false",
    "instant": "instants",
    "local": "local times",
    "date": "dates",
    "other": "values of a type that is not compared",
}


def _of_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return text(value)


def _number(value: Any) -> Decimal:
    if isinstance(value, str) or not math.isfinite(value):
        raise TypeError(value)
    return Decimal(str(value)) if isinstance(value, float) else Decimal(value)


def _of_exact(value: Any) -> str:
    number = _number(value)
    written = f"{number:f}"
    # what no decimal of DuckDB can hold is compared as a double, which is far from any quantity
    return written if len(written.lstrip("-").replace(".", "")) <= 38 else f"'{number}'::double"


def _of_float(value: Any) -> str:
    return f"'{_number(value)}'::double"


def _of_bool(value: Any) -> str:
    if not isinstance(value, bool):
        raise TypeError(value)
    return str(value).lower()


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001  a local midnight
    return datetime.fromisoformat(value)


def _of_instant(value: Any) -> str:
    moment = _moment(value)
    return f"'{(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()}'::timestamptz"


def _of_local(value: Any) -> str:
    moment = _moment(value)
    if moment.tzinfo is not None:
        raise TypeError(value)
    return f"'{moment.isoformat()}'::timestamp"


def _of_date(value: Any) -> str:
    moment = _moment(value)
    if moment.tzinfo is not None or moment.time() != datetime.min.time():
        raise TypeError(value)
    return f"'{moment.date().isoformat()}'::date"


_LITERALS = {
    "text": _of_text,
    "exact": _of_exact,
    "float": _of_float,
    "bool": _of_bool,
    "instant": _of_instant,
    "local": _of_local,
    "date": _of_date,
}
