"""When two values of a column are the same: exactly, or as a rule of the column says.

A rule becomes two DuckDB expressions, one a side, whose results are compared with `is distinct from`;
what still differs is held against the tolerance. No exact number ever goes through a float:

* values of one type are compared as they are: decimals and integers exactly, floats by value (NaN is
  NaN, −0.0 is 0.0), instants as instants whatever zone they were written in;
* exact numbers of two types are compared by value, in a type that holds both;
* a float against an exact number stands for the decimal that it prints as: 0.1 is 0.1, 0.1 + 0.2 is not 0.3;
* text against text is compared as written: `10.50` and `10.5` differ, unless the rule has a tolerance,
  which makes them numbers;
* text against anything else is read as that; what cannot be read differs, and empty text is null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from reconcilers.errors import ConfigError

Shape = Literal["value", "set", "json"]
Unit = Literal["second", "minute", "hour", "day", "month", "year"]

_INTEGERS = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 39}
_INTEGERS |= {f"U{name}": digits + 1 for name, digits in _INTEGERS.items()}
_FLOATS = ("FLOAT", "DOUBLE")
_WIDEST = 38

#: Text that is a plain decimal number; its parts are the sign, the digits before and after the point.
_PLAIN = r"^\s*([+-]?)0*(\d+?)(?:\.(\d*?)0*)?\s*$"


@dataclass(frozen=True)
class Rule:
    """How a column is compared; the default is exactly.

    Args:
        absolute: a difference of up to so much is fine.
        relative: so is one of up to this share of the larger value.
        case: "ignore" makes upper and lower case the same.
        space: "ignore" takes space off both ends, and makes any run of it inside one blank.
        unicode: "ignore" makes the ways to write one character the same (NFC).
        truncate: instants are compared down to this unit, in UTC.
        extract: a regular expression; what its first group (or all of it) matches is compared.
        shape: "set" compares lists of values without order, "json" documents without order of keys.
        separator: what separates the values of a set that is text.
        empty_is_null: empty text and null are the same.
        number: text is compared as a number; a tolerance implies it.
        bounds: what `absolute` is instead where the text in column `bounds_by` of the pairs is one of these.
        bounds_by: such as the currency of an amount.
    """

    absolute: Decimal = Decimal(0)
    relative: Decimal = Decimal(0)
    case: Literal["keep", "ignore"] = "keep"
    space: Literal["keep", "ignore"] = "keep"
    unicode: Literal["keep", "ignore"] = "keep"
    truncate: Unit | None = None
    extract: str | None = None
    shape: Shape = "value"
    separator: str = ","
    empty_is_null: bool = False
    number: bool = False
    bounds: Mapping[str, Decimal] = field(default_factory=dict)
    bounds_by: str = ""

    def __post_init__(self) -> None:
        if self.absolute < 0 or self.relative < 0:
            raise ConfigError(f"tolerance {min(self.absolute, self.relative)} is below zero")
        if self.extract is not None:
            try:
                re.compile(self.extract)
            except re.error as error:
                raise ConfigError(f"extract {self.extract!r} is not a regular expression: {error}") from error

    @property
    def tolerant(self) -> bool:
        """Whether values that differ may be near enough."""
        return bool(self.absolute or self.relative or self.bounds)

    @property
    def lenient(self) -> bool:
        """Whether values whose expressions are distinct may still be the same."""
        return self.tolerant or self.shape == "json"


@dataclass(frozen=True)
class Sides:
    """Two DuckDB expressions that are not distinct exactly where two values are the same."""

    a: str
    b: str

    @property
    def differ(self) -> str:
        """The condition that they differ."""
        return f"({self.a} is distinct from {self.b})"


def key_sides(a: str, b: str, type_a: str, type_b: str) -> Sides:
    """The expressions that a key column is joined by: alike types as they are, others as text.

    Leading zeros of text stay: 7 is `7`, never `007`.
    """
    if type_a == type_b and not type_a.startswith("ENUM"):
        return Sides(a, b)
    if _exact(type_a) and _exact(type_b):
        return _exact_numbers(a, b, type_a, type_b)
    if _temporal(type_a) and _temporal(type_b):
        return Sides(a, b)
    return Sides(key_text(a, type_a), key_text(b, type_b))


def sides(a: str, b: str, type_a: str, type_b: str, rule: Rule) -> Sides:
    """The expressions that compare columns `a` and `b` of these DuckDB types by the rule."""
    text_a, text_b = _text(type_a), _text(type_b)
    if rule.shape == "set":
        return Sides(_set(a, type_a, rule), _set(b, type_b, rule))
    if rule.truncate is not None:
        return Sides(_truncated(a, type_a, rule.truncate), _truncated(b, type_b, rule.truncate))
    if rule.number or rule.tolerant:
        if text_a and text_b:
            return Sides(plain_number(a), plain_number(b))
    elif text_a and text_b:
        return Sides(_normalised(f"{a}::varchar", rule), _normalised(f"{b}::varchar", rule))
    if type_a == type_b:
        return Sides(a, b)
    if _exact(type_a) and _exact(type_b):
        return _exact_numbers(a, b, type_a, type_b)
    if text_a != text_b:
        return _read_as(a, b, type_b) if text_a else _swapped(_read_as(b, a, type_a))
    if type_a in _FLOATS or type_b in _FLOATS:
        return _floats(a, b, type_a, type_b)
    if _temporal(type_a) and _temporal(type_b):
        return Sides(a, b)
    return Sides(f"{a}::varchar", f"{b}::varchar")


def difference(a: str, b: str, type_a: str, type_b: str, rule: Rule) -> str:
    """The expression of a − b, null where they are not both numbers, or the sum does not fit."""
    numeric = [_exact(kind) or kind in _FLOATS for kind in (type_a, type_b)]
    text = [_text(kind) for kind in (type_a, type_b)]
    if not all(n or (t and (rule.number or rule.tolerant or any(numeric))) for n, t in zip(numeric, text, strict=True)):
        return "null::decimal(38, 12)"
    if "DOUBLE" in (type_a, type_b) or "FLOAT" in (type_a, type_b):
        return f"try(try_cast({a}::varchar as double) - try_cast({b}::varchar as double))"
    if all(numeric) and type_a == type_b:
        wide = "hugeint" if type_a in _INTEGERS else _wide(type_a)
        return f"try({a}::{wide} - {b}::{wide})"
    scale = max([_digits(kind)[1] for kind in (type_a, type_b) if _exact(kind)], default=0)
    wide = f"decimal(38, {12 if any(text) else scale})"
    return f"try(try_cast({a}::varchar as {wide}) - try_cast({b}::varchar as {wide}))"


def within(a: str, b: str, gap: str, rule: Rule) -> str:
    """The condition that a difference `gap` is within the tolerance, or that two documents are the same."""
    if rule.shape == "json":
        return f"coalesce(json_facts({a}::varchar) = json_facts({b}::varchar), false)"
    if not rule.tolerant:
        return "false"
    cases = "".join(f"when {literal(name)} then {bound} " for name, bound in rule.bounds.items())
    absolute = f"(case {rule.bounds_by} {cases}else {rule.absolute} end)" if cases else rule.absolute
    bound = f"{absolute}::decimal(38, 12)"
    if rule.relative:
        larger = f"greatest(abs(try_cast({a}::varchar as double)), abs(try_cast({b}::varchar as double)))"
        return f"coalesce(abs({gap}) <= {bound} or abs({gap}) <= {rule.relative} * {larger}, false)"
    return f"coalesce(abs({gap}) <= {bound}, false)"


def plain_number(x: str) -> str:
    """Text of a plain decimal number in one spelling of its value; other text as it is."""
    parts = f"regexp_extract({x}, '{_PLAIN}', ['sign', 'whole', 'part'])"
    return (
        f"case when {x} is null or not regexp_matches({x}, '{_PLAIN}') then {x} else "
        f"(if({parts}.sign = '-' and ({parts}.whole <> '0' or {parts}.part <> ''), '-', '') || {parts}.whole "
        f"|| if({parts}.part = '', '', '.' || {parts}.part)) end"
    )


def _exact_numbers(a: str, b: str, type_a: str, type_b: str) -> Sides:
    """Both in the narrowest type that holds every value of either; else in one spelling."""
    if type_a in _INTEGERS and type_b in _INTEGERS and not {type_a, type_b} & {"UHUGEINT"}:
        return Sides(f"{a}::hugeint", f"{b}::hugeint")
    (whole_a, scale_a), (whole_b, scale_b) = _digits(type_a), _digits(type_b)
    scale = max(scale_a, scale_b)
    if max(whole_a, whole_b) + scale > _WIDEST:
        return Sides(plain_number(f"{a}::varchar"), plain_number(f"{b}::varchar"))
    wide = f"decimal({max(whole_a, whole_b) + scale}, {scale})"
    return Sides(f"{a}::{wide}", f"{b}::{wide}")


def _floats(a: str, b: str, type_a: str, type_b: str) -> Sides:
    """A float stands for the decimal that it prints as.

    An exact number is that decimal if the float is the nearest to it and both agree to its last
    digit: the nearest float alone would make 9007199254740993 and …992 the same.
    """
    if type_a in _FLOATS and type_b in _FLOATS:
        return Sides(f"{a}::varchar::double", f"{b}::varchar::double")
    exact = type_b if type_a in _FLOATS else type_a
    if not _exact(exact):
        return Sides(f"{a}::varchar", f"{b}::varchar")
    wide = f"decimal(38, {_digits(exact)[1]})"
    return Sides(
        f"{{'near': {a}::varchar::double, 'exact': try_cast({a}::varchar as {wide})}}",
        f"{{'near': {b}::varchar::double, 'exact': try_cast({b}::varchar as {wide})}}",
    )


def _read_as(text: str, other: str, kind: str) -> Sides:
    """Text read as the other side's type; what cannot be read is kept, and so differs."""
    if _exact(kind):
        return Sides(f"nullif({plain_number(text)}, '')", plain_number(f"{other}::varchar"))
    given = f"nullif(trim({text}), '')"
    read = f"try_cast({given} as {kind})"
    return Sides(
        f"{{'read': {read}, 'raw': if({read} is null, {given}, null)}}",
        f"{{'read': {other}, 'raw': null::varchar}}",
    )


def _swapped(of: Sides) -> Sides:
    return Sides(of.b, of.a)


def _normalised(x: str, rule: Rule) -> str:
    if rule.extract is not None:
        group = 1 if re.compile(rule.extract).groups else 0
        x = f"regexp_extract({x}, {literal(rule.extract)}, {group})"
    if rule.unicode == "ignore":
        x = f"nfc_normalize({x})"
    if rule.space == "ignore":
        x = rf"trim(regexp_replace({x}, '\s+', ' ', 'g'))"
    if rule.case == "ignore":
        x = f"lower({x})"
    return f"nullif({x}, '')" if rule.empty_is_null else x


def _set(x: str, kind: str, rule: Rule) -> str:
    if kind.endswith("]"):
        return f"list_sort(list_distinct({x}))"
    part = _normalised("trim(e)", rule)
    return f"list_sort(list_distinct([{part} for e in string_split({x}::varchar, {literal(rule.separator)})]))"


def _truncated(x: str, kind: str, unit: Unit) -> str:
    return f"date_trunc('{unit}', {x if _temporal(kind) else f'try_cast({x}::varchar as timestamptz)'}::timestamptz)"


def key_text(x: str, kind: str) -> str:
    """A part of a key as text: one spelling for each value, whatever type it has."""
    return plain_number(f"{x}::varchar") if kind.startswith("DECIMAL") else f"{x}::varchar"


def bucket_text(x: str, kind: str) -> str:
    """A part of a key as the text that its bucket is found by: the same for all that are joined as equal."""
    if _temporal(kind):
        return f"{x}::timestamptz::varchar"
    return f"({x} + 0)::double::varchar" if kind in _FLOATS else key_text(x, kind)


def key_family(kind: str) -> str:
    """Key columns of one family are joined, and bucketed, alike."""
    return "instant" if _temporal(kind) else "float" if kind in _FLOATS else "text"


def _text(kind: str) -> bool:
    return kind in ("VARCHAR", "JSON") or kind.startswith("ENUM")


def _temporal(kind: str) -> bool:
    return kind == "DATE" or kind.startswith("TIMESTAMP")


def _exact(kind: str) -> bool:
    return kind in _INTEGERS or kind.startswith("DECIMAL")


def _wide(kind: str) -> str:
    return f"decimal(38, {_digits(kind)[1]})"


def _digits(kind: str) -> tuple[int, int]:
    """The digits before and after the point that an exact type holds."""
    if kind in _INTEGERS:
        return _INTEGERS[kind], 0
    precision, scale = (int(digits) for digits in re.findall(r"\d+", kind))
    return precision - scale, scale


def literal(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
