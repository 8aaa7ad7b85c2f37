"""Text to exact decimals and instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcilers import parsing
from reconcilers.errors import ConfigError
from reconcilers.parsing import NumberFormat, TimeFormat

PLAIN = NumberFormat()


def decimals(*values, number=PLAIN, scale=4):
    return parsing.decimals(pa.array(values), number, scale)


def reasons(parsed):
    return {reason: mask.nonzero()[0].tolist() for reason, mask in parsed.wrong.items()}


@given(st.decimals(min_value=-99999999999999, max_value=99999999999999, places=4))
def test_a_decimal_is_read_as_it_is_written(value):
    assert decimals(f"{value:f}").values.to_pylist() == [value]


@given(
    st.lists(st.none() | st.text(st.sampled_from("0a \t\x00\x1f\x7f\x85\xa0\u2003é"), max_size=4), max_size=6),
    st.integers(0, 3),
)
def test_text_is_the_same_whatever_stands_beside_it(values, first):
    """What is plain is looked up in the bytes, also of a slice; text beside it that is not plain prevents that."""
    alone = parsing.text(pa.array(values, pa.string())[first:])
    beside = parsing.text(pa.array([*values[first:], " ä "], pa.string()))
    assert alone.to_pylist() == beside.to_pylist()[:-1]


@given(
    st.lists(st.none() | st.text(st.sampled_from("00159.-"), min_size=1, max_size=22), max_size=6),
    st.sampled_from([0, 2, 4]),
)
def test_a_number_is_the_same_whatever_stands_beside_it(values, scale):
    alone = parsing.decimals(pa.array(values, pa.string()), PLAIN, scale)
    beside = parsing.decimals(pa.array([*values, "x"], pa.string()), PLAIN, scale)
    assert alone.values.to_pylist() == beside.values.to_pylist()[:-1]
    told = {reason: [row for row in rows if row < len(values)] for reason, rows in reasons(beside).items()}
    assert reasons(alone) == {reason: rows for reason, rows in told.items() if rows}


def test_zeros_without_end_are_told():
    assert reasons(decimals("1." + "0" * 50)) == {"more than 4 decimal places": [0]}
    assert decimals("0" * 50 + "1." + "0" * 20).values.to_pylist() == [1]


@given(st.integers(1 - 10**15, 10**15 - 1), st.integers(0, 4))
def test_a_binary_float_is_the_shortest_decimal_that_means_it(digits, places):
    wanted = Decimal(digits).scaleb(-places)
    parsed = parsing.decimals(pa.array([float(wanted), None]), PLAIN, 4)
    assert parsed.values.to_pylist() == ([wanted, None] if abs(wanted) < 10**14 else [None, None])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0012", "12"),
        (" 7 ", "7"),
        ("+3", "3"),
        ("-3", "-3"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1.50000000", "1.5"),
    ],
)
def test_ways_to_write_a_number(text, value):
    parsed = decimals(text)
    assert parsed.values.to_pylist() == [Decimal(value)]
    assert not parsed.wrong


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("abc", "not a number"),
        ("1e3", "not a number"),
        ("NaN", "not a number"),
        ("1,5", "not a number"),
        ("12 pcs", "not a number"),
        ("--1", "not a number"),
        (".", "not a number"),
        ("1.23456", "more than 4 decimal places"),
        ("123456789012345", "does not fit 14 digits before the point"),
    ],
)
def test_a_wrong_number_has_a_reason_and_no_value(text, reason):
    parsed = decimals("1", text, "2")
    assert parsed.values.to_pylist() == [Decimal(1), None, Decimal(2)]
    assert reasons(parsed) == {reason: [1]}


def test_blank_is_null_and_not_wrong():
    parsed = decimals("", "  ", None)
    assert parsed.values.null_count == 3
    assert not parsed.wrong


@pytest.mark.parametrize(
    ("text", "number", "value"),
    [
        ("1,234.50", NumberFormat(thousands=","), "1234.5"),
        ("1.234,50", NumberFormat(",", "."), "1234.5"),
        ("1'234'567", NumberFormat(thousands="'"), "1234567"),
        ("-1 234,5", NumberFormat(",", " "), "-1234.5"),
        ("1234,5", NumberFormat(",", "."), "1234.5"),
    ],
)
def test_thousands_and_decimal_signs(text, number, value):
    assert decimals(text, number=number).values.to_pylist() == [Decimal(value)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,23", NumberFormat(thousands=",")),
        ("12,34,567", NumberFormat(thousands=",")),
        ("1.5", NumberFormat(",")),
    ],
)
def test_a_sign_in_the_wrong_place_is_not_guessed_at(text, number):
    assert reasons(decimals(text, number=number)) == {"not a number": [0]}


def test_typed_numbers_stay_exact():
    assert parsing.decimals(pa.array([7]), PLAIN, 4).values.to_pylist() == [7]
    assert parsing.decimals(pa.array([0.1, 3.0]), PLAIN, 4).values.to_pylist() == [Decimal("0.1"), 3]
    assert reasons(parsing.decimals(pa.array([0.1 + 0.2]), PLAIN, 4)) == {"more than 4 decimal places": [0]}
    exact = pa.array([Decimal("1.25")], pa.decimal128(10, 2))
    assert parsing.decimals(exact, PLAIN, 4).values.to_pylist() == [Decimal("1.25")]


@pytest.mark.parametrize(("decimal", "thousands"), [(";", ""), (".", "."), (".", "x")])
def test_an_impossible_number_format(decimal, thousands):
    with pytest.raises(ConfigError):
        NumberFormat(decimal, thousands)


def test_text_is_trimmed_composed_and_keeps_leading_zeros():
    assert parsing.text(pa.array([" 0012 ", "e\u0301", "", None])).to_pylist() == [
        "0012",
        "\u00e9",
        None,
        None,
    ]
    assert parsing.text(pa.array([12, 7])).to_pylist() == ["12", "7"]
    assert parsing.text(pa.array([12.0])).to_pylist() == ["12"]
    assert parsing.text(pa.array([Decimal("10.00")], pa.decimal128(9, 2))).to_pylist() == ["10"]


def instants(*values, time=None):
    return parsing.instants(pa.array(values), time or TimeFormat("Europe/Berlin"))


@given(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2036, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC", "Australia/Lord_Howe"]),
)
def test_a_local_time_is_what_the_zone_says_or_rejected(wall, zone):
    """Against the standard library: unambiguous wall clocks agree, all others are told."""
    parsed = parsing.instants(pa.array([wall.isoformat()]), TimeFormat(zone))
    readings = {wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    if len(readings) == 1:
        assert parsed.values.to_pylist() == list(readings)
        assert not parsed.wrong
    else:
        back = next(iter(readings)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        expected = "comes twice" if back == wall else "the clocks skip"
        assert expected in next(iter(parsed.wrong))


def test_zoned_and_local_times_in_one_column():
    parsed = instants("2026-11-23T02:00:00Z", "2026-11-23 02:00", "2026-11-23T02:00:00+05:30", "2026-11-23", "")
    assert parsed.values.to_pylist() == [
        datetime(2026, 11, 23, 2, tzinfo=UTC),
        datetime(2026, 11, 23, 1, tzinfo=UTC),
        datetime(2026, 11, 22, 20, 30, tzinfo=UTC),
        datetime(2026, 11, 22, 23, tzinfo=UTC),
        None,
    ]
    assert not parsed.wrong


@pytest.mark.parametrize("text", ["2026-02-30", "yesterday", "23.11.2026", "2026-11-23T25:00:00", "12"])
def test_what_is_no_instant(text):
    parsed = instants("2026-11-23", text)
    assert reasons(parsed) == {"not an instant": [1]}
    assert parsed.values.to_pylist()[1] is None


@pytest.mark.parametrize(("choice", "hour"), [("earlier", 0), ("later", 1)])
def test_an_hour_that_comes_twice_can_be_chosen(choice, hour):
    parsed = instants("2026-10-25 02:30", time=TimeFormat("Europe/Berlin", ambiguous=choice))
    assert parsed.values.to_pylist() == [datetime(2026, 10, 25, hour, 30, tzinfo=UTC)]
    assert not parsed.wrong


def test_a_skipped_hour_is_never_guessed():
    parsed = instants("2026-03-29 02:30", time=TimeFormat("Europe/Berlin", ambiguous="later"))
    assert reasons(parsed) == {"a local time that the clocks skip": [0]}


def test_a_pattern():
    time = TimeFormat("Europe/Berlin", "%d.%m.%Y %H:%M")
    parsed = instants("23.11.2026 02:00", "2026-11-23 02:00", "", time=time)
    assert parsed.values.to_pylist() == [datetime(2026, 11, 23, 1, tzinfo=UTC), None, None]
    assert reasons(parsed) == {"not an instant like %d.%m.%Y %H:%M": [1]}


def test_a_pattern_with_an_offset():
    parsed = instants("23/11/26 02:00 +0530", time=TimeFormat("UTC", "%d/%m/%y %H:%M %z"))
    assert parsed.values.to_pylist() == [datetime(2026, 11, 22, 20, 30, tzinfo=UTC)]


def test_typed_timestamps():
    wall = pa.array([datetime(2026, 11, 23, 2)], pa.timestamp("ms"))
    berlin = TimeFormat("Europe/Berlin")
    assert parsing.instants(wall, berlin).values.to_pylist() == [datetime(2026, 11, 23, 1, tzinfo=UTC)]
    zoned = pa.array([datetime(2026, 11, 23, 2, tzinfo=UTC)], pa.timestamp("ns", "Asia/Tokyo"))
    assert parsing.instants(zoned, berlin).values.to_pylist() == [datetime(2026, 11, 23, 2, tzinfo=UTC)]


def units(*rows):
    return parsing.factors(pa.table({n: [r[i] for r in rows] for i, n in enumerate(("sku", "unit", "factor"))}))


def convert(quantities, skus, unit, table):
    values = pa.array([Decimal(q) for q in quantities], pa.decimal128(18, 4))
    return parsing.convert(values, pa.array(skus), pa.array(unit, pa.string()), table)


def test_units_are_exact_ratios():
    table = units(("A", "CASE", "12"), ("B", "EA", "1/12"), ("C", "HALF", "0.5"))
    parsed = convert(["2", "24", "-3", "9"], ["A", "B", "C", "A"], ["CASE", "EA", "HALF", None], table)
    assert parsed.values.to_pylist() == [24, 2, Decimal("-1.5"), 9]
    assert not parsed.wrong


def test_units_never_round_or_overflow():
    table = units(("A", "EA", "1/3"), ("A", "BIG", "1000000"))
    parsed = convert(["1", "99999999999999", "3", "5"], ["A", "A", "A", "A"], ["EA", "BIG", "EA", "BOX"], table)
    assert parsed.values.to_pylist() == [None, None, Decimal(1), None]
    assert reasons(parsed) == {
        "the quantity in base units is not exact": [0],
        "the quantity in base units does not fit": [1],
        "no factor for this unit": [3],
    }


@pytest.mark.parametrize("factor", ["0", "a", "-1", "1/0", ""])
def test_an_impossible_factor(factor):
    with pytest.raises(ConfigError, match="'EA' of 'A'"):
        units(("A", "EA", factor))


def test_times_survive_the_round_trip_of_an_offset():
    moment = datetime(2026, 11, 23, 2, 0, 0, 123456, tzinfo=UTC)
    texts = [
        moment.astimezone(ZoneInfo("Asia/Kolkata")).isoformat(),
        (moment + timedelta(days=1)).isoformat(),
    ]
    assert instants(*texts).values.to_pylist() == [moment, moment + timedelta(days=1)]
