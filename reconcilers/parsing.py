"""Text to exact decimals and UTC instants, a column at a time.

Every parser returns the values and, by reason, a mask of the rows that are wrong; a value is never
rounded, guessed or dropped. Reasons are short fixed texts, so that they can be counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from math import gcd
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconcilers.errors import ConfigError
from reconcilers.schemas import INSTANT, PRECISION, TEXT, quantity_type

AMBIGUOUS = ("reject", "earlier", "later")

#: The first and the last character of ASCII that can be seen, and whether a byte may be one of a plain number.
_VISIBLE = (0x21, 0x7E)
_NUMERIC = np.isin(np.arange(256), np.frombuffer(b"0123456789.-", np.uint8))

_ZONED = r"(?:Z|z|[+-]\d{2}:?\d{2}|[+-]\d{2})$"


@dataclass(frozen=True)
class Parsed:
    """Values (null where blank or wrong), and which rows are wrong, by reason."""

    values: pa.Array
    wrong: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class NumberFormat:
    """The decimal point, and the sign between thousands ("" for none)."""

    decimal: str = "."
    thousands: str = ""

    def __post_init__(self) -> None:
        if self.decimal not in (".", ","):
            raise ConfigError(f"decimal {self.decimal!r} is not . or ,")
        if self.thousands not in ("", ",", ".", "'", " "):
            raise ConfigError(f"thousands {self.thousands!r} is not one of , . ' or a space")
        if self.thousands == self.decimal:
            raise ConfigError(f"decimal and thousands are both {self.decimal!r}")


@dataclass(frozen=True)
class TimeFormat:
    """The zone of local times, how they are written, and what to do with an hour that comes twice.

    `pattern` is a strptime pattern; None is ISO 8601, with or without offset. `ambiguous` is one of
    `AMBIGUOUS`: a local time in the hour that the clocks repeat is rejected, or read as the earlier
    or later of the two. A local time that the clocks skip is always rejected. A date without a time
    is `end_of_day` after its midnight, by the clocks on the wall.
    """

    timezone: str = "UTC"
    pattern: str | None = None
    ambiguous: str = "reject"
    end_of_day: timedelta = timedelta(0)


def text(values: pa.Array) -> pa.Array:
    """Trimmed text in Unicode's composed form (NFC); null where blank."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        values = _shortest(values)
    if pa.types.is_decimal(values.type):
        plain = values.cast(TEXT)
        dotted = pc.match_substring(plain, ".")
        values = pc.if_else(dotted, pc.replace_substring_regex(plain, r"\.?0+$", ""), plain)
    if not pa.types.is_string(values.type):
        values = values.cast(TEXT)
    if _is_plain(values):
        return values
    trimmed = pc.utf8_trim_whitespace(values)
    if not pc.all(pc.string_is_ascii(trimmed)).as_py():
        trimmed = _composed(trimmed)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, TEXT), trimmed)


def decimals(values: pa.Array, number: NumberFormat, scale: int) -> Parsed:
    """Exact decimals with `scale` places; a value that does not fit is wrong, never rounded."""
    plain = _plain_numbers(values, number)
    if _all_among(plain, _NUMERIC):
        # Of nothing but digits, points and minus signs Arrow takes exactly what the patterns below do.
        with suppress(pa.ArrowInvalid):
            return Parsed(plain.cast(quantity_type(scale)), {})
    digits = PRECISION - scale
    # Arrow counts the zeros behind as digits, of which it takes 38.
    fraction = rf"\d{{1,{scale}}}0{{0,18}}" if scale else "0{1,18}"
    fits = rf"^[+-]?(?:0*\d{{1,{digits}}}(?:\.\d{{0,{scale}}}0{{0,18}})?|\.{fraction})$"
    good = pc.match_substring_regex(plain, fits)
    if pc.all(good, min_count=0).as_py() is not False:
        return Parsed(plain.cast(quantity_type(scale)), {})
    bad = ~_mask(pc.fill_null(good, True))
    number_like = _mask(pc.match_substring_regex(plain, r"^[+-]?(?:\d+\.?\d*|\.\d+)$"))
    fine = _mask(pc.match_substring_regex(plain, rf"^[+-]?\d*(?:\.\d{{0,{scale}}}0{{0,18}})?$"))
    wrong = {
        "not a number": bad & ~number_like,
        f"more than {scale} decimal places": bad & number_like & ~fine,
        f"does not fit {digits} digits before the point": bad & number_like & fine,
    }
    kept = pc.if_else(pa.array(bad), pa.scalar(None, TEXT), plain)
    return Parsed(kept.cast(quantity_type(scale)), {r: mask for r, mask in wrong.items() if mask.any()})


def instants(values: pa.Array, time: TimeFormat) -> Parsed:
    """UTC instants; local times are those of the zone, with both changes of the clocks told apart."""
    if pa.types.is_timestamp(values.type):
        if values.type.tz is not None:
            return Parsed(values.cast(INSTANT, safe=False), {})
        return _localised(values.cast(pa.timestamp("us"), safe=False), time, np.zeros(len(values), bool))
    plain = text(values)
    if time.pattern is not None and time.pattern != "iso":
        return _by_pattern(plain, time)
    zoned = pc.match_substring_regex(plain, r"\d[T ]\d.*" + _ZONED)
    dates = pc.match_substring_regex(plain, r"^\d{4}-\d{2}-\d{2}$") if time.end_of_day else None
    absolute, bad_absolute = _iso(pc.if_else(zoned, plain, pa.scalar(None, TEXT)), INSTANT)
    if pc.all(zoned, min_count=0).as_py() is not False:
        return Parsed(absolute, _told({"not an instant": bad_absolute}))
    local, bad_local = _iso(pc.if_else(zoned, pa.scalar(None, TEXT), plain), pa.timestamp("us"))
    if dates is not None:
        later = pc.add(local, pa.scalar(time.end_of_day, pa.duration("us")))
        local = pc.if_else(pc.fill_null(dates, False), later, local)
    parsed = _localised(local, time, bad_local)
    values = pc.coalesce(absolute, parsed.values)
    both = {**parsed.wrong}
    both["not an instant"] = both.get("not an instant", np.zeros(len(plain), bool)) | bad_absolute
    return Parsed(values, _told(both))


def factors(units: pa.Table) -> pa.Table:
    """Units of measure as exact ratios: `sku`, `unit`, `numerator`, `denominator`.

    Raises:
        ConfigError: a factor that is not a positive number or ratio, or a unit twice.
    """
    rows = []
    seen = set()
    for row in units.to_pylist():
        key = (str(row["sku"]).strip(), str(row["unit"]).strip())
        match = re.fullmatch(r"\s*(\d+)(?:\.(\d+))?\s*(?:/\s*(\d+))?\s*", str(row["factor"]))
        if match is None or key in seen:
            what = "is there twice" if key in seen else f"has the factor {row['factor']!r}, not 12, 0.5 or 1/12"
            raise ConfigError(f"units: {key[1]!r} of {key[0]!r} {what}")
        seen.add(key)
        places = match[2] or ""
        top, bottom = int(match[1] + places), 10 ** len(places) * int(match[3] or 1)
        if top == 0 or bottom == 0:
            raise ConfigError(f"units: {key[1]!r} of {key[0]!r} has a factor of zero")
        shared = gcd(top, bottom)
        rows.append((*key, top // shared, bottom // shared))
    names = ("sku", "unit", "numerator", "denominator")
    types = (TEXT, TEXT, pa.int64(), pa.int64())
    return pa.table([pa.array([row[i] for row in rows], types[i]) for i in range(4)], names=names)


def convert(quantity: pa.Array, sku: pa.Array, unit: pa.Array, ratios: pa.Table) -> Parsed:
    """Quantities in base units, exactly; a unit without a factor, or a result that is not exact, is wrong."""
    separator = pa.scalar("\x1f", TEXT)
    keys = pc.binary_join_element_wise(sku, unit, separator)
    known = pc.binary_join_element_wise(ratios["sku"], ratios["unit"], separator)
    places = pc.index_in(keys, value_set=known.combine_chunks() if isinstance(known, pa.ChunkedArray) else known)
    has_unit = _mask(pc.is_valid(unit))
    unknown = has_unit & _mask(pc.is_null(places)) & _mask(pc.is_valid(sku))
    top = pc.fill_null(pc.take(ratios["numerator"].combine_chunks(), places), 1).to_numpy(zero_copy_only=False)
    bottom = pc.fill_null(pc.take(ratios["denominator"].combine_chunks(), places), 1).to_numpy(zero_copy_only=False)
    units = _unscaled(quantity)
    bound = (10**PRECISION - 1) // np.maximum(top, 1)
    large = np.abs(units) > bound
    product = np.where(large, 0, units) * top
    inexact = product % bottom != 0
    wrong = {
        "no factor for this unit": unknown,
        "the quantity in base units does not fit": large & ~unknown,
        "the quantity in base units is not exact": inexact & ~unknown & ~large,
    }
    ok = ~(unknown | large | inexact)
    values = _rescaled(np.where(ok, product // bottom, 0), quantity.type, _mask(pc.is_valid(quantity)) & ok)
    return Parsed(values, _told(wrong))


def _is_plain(values: pa.Array) -> bool:
    """Whether no value is blank, begins or ends with a space, or has anything but ASCII: looked up in the bytes."""
    begins, ends, data = _text_buffers(values)
    if len(begins) == 0:
        return True
    if (begins == ends).any() or data.max() > _VISIBLE[1]:
        return False
    return bool(data[begins].min() >= _VISIBLE[0] and data[ends - 1].min() >= _VISIBLE[0])


def _all_among(values: pa.Array, known: np.ndarray) -> bool:
    """Whether values are text of nothing but the known bytes."""
    return pa.types.is_string(values.type) and bool(known[_text_buffers(values)[2]].all())


def _text_buffers(values: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each value that is not null begins and ends in the bytes of all of them, and these bytes."""
    _, offsets_buffer, data_buffer = values.buffers()
    if offsets_buffer is None or data_buffer is None:
        ends = np.zeros(0 if values.null_count == len(values) else len(values), np.int32)
        return ends, ends, np.zeros(0, np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int32)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    begins, ends = offsets[:-1], offsets[1:]
    if values.null_count:
        valid = _mask(pc.is_valid(values))
        begins, ends = begins[valid], ends[valid]
    return begins, ends, data


def _plain_numbers(values: pa.Array, number: NumberFormat) -> pa.Array:
    """Numbers as text with a decimal point and nothing between thousands; null where blank."""
    if pa.types.is_floating(values.type):
        return _shortest(values)
    if not (pa.types.is_string(values.type) or pa.types.is_dictionary(values.type)):
        return values.cast(TEXT)
    plain = text(values)
    if number.thousands:
        grouped = rf"^([+-]?)\d{{1,3}}(?:{re.escape(number.thousands)}\d{{3}})+(?:{re.escape(number.decimal)}\d*)?$"
        is_grouped = pc.match_substring_regex(plain, grouped)
        without = pc.replace_substring(plain, number.thousands, "")
        plain = pc.if_else(is_grouped, without, plain)
    if number.decimal == ",":
        # a point is not a decimal point here: 1.234 must not become one and a bit
        pointed = pc.match_substring(plain, ".")
        plain = pc.if_else(pointed, pc.binary_join_element_wise(plain, "?", ""), pc.replace_substring(plain, ",", "."))
    return plain


def _shortest(values: pa.Array) -> pa.Array:
    """Binary floats as the shortest text that means them; whole numbers without a point."""
    texts = pc.replace_substring_regex(values.cast(TEXT), r"\.0$", "")
    # Arrow writes 1e10 and more, and small fractions, with an exponent.
    powers = pc.fill_null(pc.match_substring(texts, "e"), False)
    if not pc.any(powers).as_py():
        return texts
    plain = [f"{Decimal(power):f}" for power in texts.filter(powers).to_pylist()]
    return pc.replace_with_mask(texts, powers, pa.array(plain, TEXT))


def _composed(values: pa.Array) -> pa.Array:
    """Unicode's composed form, by distinct value: Arrow's own NFC gives the decomposed one."""
    coded = values.dictionary_encode()
    composed = [normalize("NFC", word) for word in coded.dictionary.to_pylist()]
    return pa.array(composed, TEXT).take(coded.indices)


def _by_pattern(plain: pa.Array, time: TimeFormat) -> Parsed:
    pattern = str(time.pattern)
    parsed = pd.to_datetime(plain.to_pandas(), format=pattern, errors="coerce", utc="%z" in pattern)
    found = _utc(parsed) if "%z" in pattern else pa.Array.from_pandas(parsed)
    bad = _mask(pc.and_(pc.is_null(found), pc.is_valid(plain)))
    if "%z" in pattern:
        return Parsed(found, _told({f"not an instant like {pattern}": bad}))
    if not pa.types.is_timestamp(found.type):
        found = pa.nulls(len(plain), pa.timestamp("us"))
    local = _localised(found.cast(pa.timestamp("us"), safe=False), time, np.zeros(len(plain), bool))
    return Parsed(local.values, {**local.wrong, **_told({f"not an instant like {pattern}": bad})})


def _iso(plain: pa.Array, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    """ISO 8601 text as timestamps, and which rows are none. Arrow is fast, pandas finds the culprit."""
    try:
        return plain.cast(kind), np.zeros(len(plain), bool)
    except pa.ArrowInvalid:
        shaped = pc.match_substring_regex(plain, r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}|$)")
        candidates = pc.if_else(shaped, plain, pa.scalar(None, TEXT)).to_pandas()
        found = pd.to_datetime(candidates, format="ISO8601", errors="coerce", utc=True)
        stamps = _utc(found)
        bad = _mask(pc.and_(pc.is_null(stamps), pc.is_valid(plain)))
        # without a zone, the wall clock was read as UTC: drop the zone, keep the clock
        return (stamps if kind == INSTANT else stamps.cast(pa.timestamp("us"))), bad


def _utc(stamps: pd.Series[Any]) -> pa.Array:
    return pa.Array.from_pandas(stamps.dt.tz_convert(None)).cast(pa.timestamp("us"), safe=False).cast(INSTANT)


def _localised(local: pa.Array, time: TimeFormat, bad: np.ndarray) -> Parsed:
    """Wall clock to instants. Both readings of a wall clock differ where the clocks change."""
    zone = time.timezone
    first = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest").cast(INSTANT)
    last = pc.assume_timezone(local, zone, ambiguous="latest", nonexistent="latest").cast(INSTANT)
    differs = _mask(pc.not_equal(first, last))
    skipped = np.zeros(len(local), bool)
    if differs.any():
        apart = pc.subtract(last.cast(pa.int64()), first.cast(pa.int64()))
        # a skipped hour has no reading: Arrow gives the two instants around it, a microsecond apart
        skipped = differs & _mask(pc.less(apart, 1_000_000))
    folded = differs & ~skipped & (time.ambiguous == "reject")
    values = last if time.ambiguous == "later" else first
    wrong = {
        "not an instant": bad,
        "a local time that the clocks skip": skipped,
        "a local time that comes twice when the clocks change": folded,
    }
    return Parsed(values, _told(wrong))


def _unscaled(quantity: pa.Array) -> np.ndarray:
    """The quantities as whole numbers of the smallest place, exactly; 0 where null."""
    filled = pc.fill_null(quantity, pa.scalar(Decimal(0), quantity.type))
    return np.frombuffer(filled.buffers()[1], np.int64)[2 * filled.offset : 2 * (filled.offset + len(filled)) : 2]


def _rescaled(units: np.ndarray, kind: pa.DataType, valid: np.ndarray) -> pa.Array:
    """Whole numbers of the smallest place as decimals: two's complement, 16 bytes each."""
    words = np.empty((len(units), 2), np.int64)
    words[:, 0] = units
    words[:, 1] = units >> 63
    bits = np.packbits(valid, bitorder="little").tobytes()
    return pa.Array.from_buffers(kind, len(units), [pa.py_buffer(bits), pa.py_buffer(words.tobytes())])


def _told(wrong: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {reason: mask for reason, mask in wrong.items() if mask.any()}


def _mask(values: pa.Array) -> np.ndarray:
    """A boolean column as a mask; null is false."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), bool)
